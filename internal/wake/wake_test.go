package wake

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listener takes what a Waker calls.
type listener struct {
	*Waker
	wakes chan report
	log   bytes.Buffer
}

func listen(t *testing.T, o Options) *listener {
	t.Helper()
	l := &listener{wakes: make(chan report, 1000)}
	o.Wake = func(target, reason string) { l.wakes <- report{target, reason} }
	o.Logger = slog.New(slog.NewTextHandler(&l.log, nil))
	l.Waker = New(o)
	t.Cleanup(func() {
		if err := l.Stop(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return l
}

// want waits for the next wake.
func (l *listener) want(t *testing.T, target, reason string) {
	t.Helper()
	select {
	case got := <-l.wakes:
		if got != (report{target, reason}) {
			t.Errorf("%+v, want %s by %s", got, target, reason)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("%s was not woken by %s\n%s", target, reason, &l.log)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestPace: a burst of events wakes at once, then less and less often, and the last event of a burst
// is never lost.
func TestPace(t *testing.T) {
	start := time.Unix(1000, 0)
	tests := []struct {
		name   string
		events []int // milliseconds
		want   []int // at which the target is woken
	}{
		{"one", []int{0}, []int{0}},
		{"two far apart", []int{0, 200}, []int{0, 200}},
		{"the second comes too early and waits", []int{0, 10}, []int{0, 50}},
		{"a burst of three is two", []int{0, 10, 20}, []int{0, 50}},
		{"events without an end", seq(0, 5000, 10), []int{0, 50, 150, 350, 750, 1550, 2550, 3550, 4550, 5550}},
		{"and quick again after a pause", append(seq(0, 1000, 10), 5000), []int{0, 50, 150, 350, 750, 1550, 5000}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p pace
			var got []int
			events := tt.events
			for ms := range 10_000 {
				now := start.Add(time.Duration(ms) * time.Millisecond)
				if !p.due.IsZero() && !now.Before(p.due) {
					p.late(now)
					got = append(got, ms)
				}
				if len(events) > 0 && events[0] == ms {
					events = events[1:]
					if p.note(now, ReasonEvents) {
						got = append(got, ms)
					}
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("woken at %v, want %v", got, tt.want)
			}
		})
	}
}

func seq(from, to, step int) []int {
	var out []int
	for ; from < to; from += step {
		out = append(out, from)
	}
	return out
}

// TestNothingToWatch: without anything that the kernel reports on, nothing stays open and no goroutine runs.
func TestNothingToWatch(t *testing.T) {
	before := descriptors(t)
	l := listen(t, Options{})
	l.Set(nil)
	l.Set([]Subject{{Target: "a", CgroupDir: t.TempDir()}, {Target: "host", Pressure: "/nowhere"}})
	if l.loop != nil || descriptors(t) > before+1 { // the runtime's own epoll
		t.Errorf("%d descriptors, want %d", descriptors(t), before)
	}
	if err := l.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	l.Set([]Subject{{Target: "late", CgroupDir: t.TempDir()}})
	if l.loop != nil {
		t.Error("a stopped Waker opened something")
	}
}

// TestOrdinaryFilesStay: a folder that is not a cgroup's is not written to, whatever its files are
// called. Each reason is said once, however many targets there are.
func TestOrdinaryFilesStay(t *testing.T) {
	dir := t.TempDir()
	names := []string{"memory.pressure", "cgroup.event_control", "memory.usage_in_bytes"}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := listen(t, Options{})
	l.Set([]Subject{{Target: "a", CgroupDir: dir, Thresholds: []int64{1}}, {Target: "b", CgroupDir: dir, Thresholds: []int64{1}}})
	for _, name := range names {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != "mine" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if got := strings.Count(l.log.String(), "memory.pressure is not a file of procfs or cgroupfs"); got != 1 {
		t.Errorf("said %d times, want once:\n%s", got, &l.log)
	}
}

// TestEvents: inotify on memory.events wakes each target of the cgroup; what left the set is closed,
// and what was there before stays registered.
func TestEvents(t *testing.T) {
	shared, other := t.TempDir(), t.TempDir()
	file := func(dir string) string { return filepath.Join(dir, "memory.events") }
	event := func(dir string) { // in one write, which is one event
		t.Helper()
		f, err := os.OpenFile(file(dir), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err == nil {
			_, err = f.WriteString("max 1\n")
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	event(shared)
	event(other)
	reg := prometheus.NewRegistry()
	l := listen(t, Options{Registerer: reg})
	l.Set([]Subject{{Target: "a", CgroupDir: shared}, {Target: "b", CgroupDir: shared}, {Target: "c", CgroupDir: other}})
	held := descriptors(t)
	event(other)
	l.want(t, "c", ReasonEvents)
	event(shared)
	both := []report{<-l.wakes, <-l.wakes}
	if !slices.Contains(both, report{"a", ReasonEvents}) || !slices.Contains(both, report{"b", ReasonEvents}) {
		t.Errorf("%v, want a and b", both)
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP spillway_wake_watches Kernel notifications registered for the targets, by reason: pressure, memory_events (limits met), threshold (cgroup version 1).
# TYPE spillway_wake_watches gauge
spillway_wake_watches{reason="memory_events"} 3
spillway_wake_watches{reason="pressure"} 0
spillway_wake_watches{reason="threshold"} 0
`)); err != nil {
		t.Error(err)
	}
	l.Set([]Subject{{Target: "b", CgroupDir: shared}})
	if got := descriptors(t); got != held {
		t.Errorf("%d descriptors, want %d: one inotify for all", got, held)
	}
	event(other)
	event(shared)
	l.want(t, "b", ReasonEvents)

	// Another cgroup of the same name.
	if err := os.Rename(shared, shared+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(shared, 0o700); err != nil {
		t.Fatal(err)
	}
	event(shared)
	l.Set([]Subject{{Target: "b", CgroupDir: shared}})
	event(shared)
	l.want(t, "b", ReasonEvents)
}

// TestOverflow: where events were lost, every target counts as reported, and one whose cgroup went
// away is registered anew.
func TestOverflow(t *testing.T) {
	one, two := &watch{subject: Subject{Target: "one"}}, &watch{subject: Subject{Target: "two"}}
	l := &loop{byWD: map[int32][]*watch{1: {one}, 2: {two}}, dead: make(map[*watch]bool)}
	got := l.reported(-1, unix.IN_Q_OVERFLOW, nil)
	if len(got) != 2 || got[0].target == got[1].target {
		t.Errorf("%v, want both", got)
	}
	if got := l.reported(2, unix.IN_IGNORED, nil); len(got) != 0 || !l.dead[two] || l.dead[one] {
		t.Errorf("%v, dead %v", got, l.dead)
	}
	if got := l.reported(7, unix.IN_MODIFY, nil); len(got) != 0 {
		t.Errorf("a watch that was removed: %v", got)
	}
}

// FuzzInotify: whatever a buffer of inotify holds, it is read to its end.
func FuzzInotify(f *testing.F) {
	event := func(wd int32, mask, size uint32) []byte {
		b := binary.NativeEndian.AppendUint32(nil, uint32(wd))
		b = binary.NativeEndian.AppendUint32(b, mask)
		b = binary.NativeEndian.AppendUint32(b, 0)
		return binary.NativeEndian.AppendUint32(b, size)
	}
	f.Add(event(1, unix.IN_MODIFY, 0))
	f.Add(event(1, unix.IN_MODIFY, 1<<31))
	f.Add(append(event(-1, unix.IN_Q_OVERFLOW, 0), event(1, unix.IN_IGNORED, 16)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		x := &watch{subject: Subject{Target: "a"}}
		l := &loop{byWD: map[int32][]*watch{1: {x}}, dead: make(map[*watch]bool)}
		if got := l.parse(b, nil); len(got) > len(b)/unix.SizeofInotifyEvent {
			t.Errorf("%d reports of %d bytes", len(got), len(b))
		}
	})
}

// TestBounds: no more subjects than allowed are watched, which is said.
func TestBounds(t *testing.T) {
	var subjects []Subject
	for i := range 5 {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "memory.events"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		subjects = append(subjects, Subject{Target: fmt.Sprint(i), CgroupDir: dir})
	}
	l := listen(t, Options{MaxWatches: 3})
	l.Set(subjects)
	l.Set(subjects)
	if len(l.watches) != 3 || strings.Count(l.log.String(), "watched=3 of=5") != 1 {
		t.Errorf("%d are watched:\n%s", len(l.watches), &l.log)
	}
}

// TestSetAgainIsFree: with the same subjects nothing is opened, and almost nothing allocated.
func TestSetAgainIsFree(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "memory.events"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := listen(t, Options{})
	subjects := []Subject{{Target: "a", CgroupDir: dir}}
	l.Set(subjects)
	kept := l.watches[0]
	if n := testing.AllocsPerRun(100, func() { l.Set(subjects) }); n > 4 {
		t.Errorf("%v allocations", n)
	}
	if l.watches[0] != kept {
		t.Error("it was registered anew")
	}
}

// TestStop ends the goroutine while events come, and twice is once.
func TestStop(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "memory.events")
	before := descriptors(t)
	for range 20 {
		l := listen(t, Options{})
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		l.Set([]Subject{{Target: "a", CgroupDir: dir}})
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := l.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := descriptors(t); got > before+1 { // the runtime's own epoll
		t.Errorf("%d descriptors, want %d", got, before)
	}
}

// BenchmarkSetAgain is what a sweep costs with 200 targets that stay where they are.
func BenchmarkSetAgain(b *testing.B) {
	w := New(Options{Wake: func(string, string) {}, Logger: slog.New(slog.DiscardHandler)})
	var subjects []Subject
	for i := range 200 {
		dir := b.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "memory.events"), nil, 0o600); err != nil {
			b.Fatal(err)
		}
		subjects = append(subjects, Subject{Target: fmt.Sprint(i), CgroupDir: dir})
	}
	w.Set(subjects)
	b.ReportAllocs()
	for b.Loop() {
		w.Set(subjects)
	}
	if err := w.Stop(b.Context()); err != nil {
		b.Error(err)
	}
}
