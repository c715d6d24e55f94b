package heap

import (
	"os"
	"slices"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// TestHeapOfOneOfTwo: a heap that is read at an address is that of one process, and how many of the
// target run the same program is said with it.
func TestHeapOfOneOfTwo(t *testing.T) {
	address := freeAddress(t)
	one, two := startNode(t, address), startNode(t, "")
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	running := trackCommand(t, "testdata/target.js")()
	var members []proc.Member
	for _, n := range []*node{two, one} {
		i := slices.IndexFunc(running, func(m proc.Member) bool { return m.PID == n.cmd.Process.Pid })
		if i < 0 {
			t.Fatal("a process was not found")
		}
		members = append(members, running[i])
	}
	members = append(members, process(t, "86397.25", null))
	f := func(name string, cfg Config, members func() []proc.Member, read, running int) {
		t.Helper()
		c, err := newPool(t).Get(cfg, Target{Name: name, Members: members})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range 2 {
			if u := readSoon(t, c); u.Read != read || u.Running != running {
				t.Errorf("%s: the heap of %d of %d processes, want %d of %d", name, u.Read, u.Running, read, running)
			}
		}
	}
	at := nodeConfig(address)
	f("an address", at, func() []proc.Member { return members }, 1, 2)
	f("found", nodeConfig(""), func() []proc.Member { return members }, 1, 2)
	f("alone", at, func() []proc.Member { return members[1:] }, 1, 1)
	f("without processes", at, nil, 0, 0)
}
