package action

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// fakeCgroup is a cgroup of a target with the processes 10 and 11, one of them in a child cgroup.
func fakeCgroup(t *testing.T) (sysfs, dir string) {
	t.Helper()
	sysfs = realDir(t)
	dir = filepath.Join(sysfs, "fs/cgroup/system.slice/app.service")
	if err := os.MkdirAll(filepath.Join(dir, "worker"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"memory.reclaim": "", "memory.current": "314572800\n", "cgroup.procs": "10\n", "worker/cgroup.procs": "11\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return sysfs, dir
}

func reclaimAction(sysfs, group string, pids ...int) *ReclaimCgroup {
	var members []proc.Member
	for _, pid := range pids {
		members = append(members, proc.Member{PID: pid})
	}
	return NewReclaimCgroup(ReclaimOptions{
		Cgroup:  func() (string, error) { return group, nil },
		Members: func() []proc.Member { return members }, Sysfs: sysfs, Logger: quiet,
	})
}

func reclaimRequest(amount units.Bytes) Request {
	req := commandRequest()
	req.Settings = &ReclaimSettings{Amount: amount}
	return req
}

// TestReclaimOutside: a path that could not be resolved leads to no cgroup, not to one of that name.
func TestReclaimOutside(t *testing.T) {
	sysfs, dir := fakeCgroup(t)
	res, err := reclaimAction(sysfs, "/../../system.slice/app.service", 10, 11).Run(t.Context(), reclaimRequest(80<<20))
	if err == nil || res.Outcome != Failed || !strings.Contains(err.Error(), "mount the host's /sys at /host/sys") {
		t.Errorf("%+v, %v", res, err)
	}
	if raw, _ := os.ReadFile(filepath.Join(dir, "memory.reclaim")); len(raw) > 0 {
		t.Errorf("wrote %q", raw)
	}
}

func TestReclaim(t *testing.T) {
	sysfs, dir := fakeCgroup(t)
	a := reclaimAction(sysfs, "/system.slice/app.service", 10, 11)
	res, err := a.Run(t.Context(), reclaimRequest(80<<20))
	if err != nil || res.Outcome != Done || res.Before != "300MiB" || res.After != "300MiB" || res.FreedBytes != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	// The last chunk of 80 MiB in steps of 32 MiB.
	if raw, _ := os.ReadFile(filepath.Join(dir, "memory.reclaim")); string(raw) != "16777216" {
		t.Errorf("wrote %q", raw)
	}
}

func TestReclaimRefuses(t *testing.T) {
	sysfs, dir := fakeCgroup(t)
	f := func(a *ReclaimCgroup, says string) {
		t.Helper()
		res, err := a.Run(t.Context(), reclaimRequest(64<<20))
		if res.Outcome != Failed || err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v, %v, want %q", res, err, says)
		}
		if raw, _ := os.ReadFile(filepath.Join(dir, "memory.reclaim")); len(raw) > 0 {
			t.Errorf("%s: %q was written", says, raw)
		}
	}
	f(reclaimAction(sysfs, "/system.slice/app.service", 10), "holds process 11 too, which is not the target's")
	f(reclaimAction(sysfs, "/", 10, 11), "root cgroup")
	f(reclaimAction(sysfs, "", 10, 11), "in no cgroup of version 2")
	f(reclaimAction(sysfs, "/other", 10, 11), "has no memory.reclaim")
	broken := reclaimAction(sysfs, "", 10)
	broken.opts.Cgroup = func() (string, error) { return "", errors.New("no listing yet") }
	f(broken, "no listing yet")
}
