package proc

import (
	"slices"
	"strconv"
	"testing"
	"time"
)

// startedAt returns the ticks of a process that started some seconds after the test began.
func startedAt(seconds int) int { return (3600 + seconds) * ticksPerSec }

// scene is what runs at one refresh, 5 s after the one before.
type scene []fakeProcess

// service is a process that matches the target of TestRestarts.
func service(pid, started int) fakeProcess {
	return fakeProcess{pid: pid, comm: "srv", start: startedAt(started), cgroup: "0::/system.slice/srv.service\n"}
}

// helper is a child of a service, which does not match by itself.
func helper(pid, parent, started int) fakeProcess {
	p := service(pid, started)
	p.ppid, p.comm = parent, "helper"
	return p
}

// play shows the scenes to a Tracker, one each 5 s.
func play(w *watched, f *fakeProc, scenes []scene) {
	w.t.Helper()
	var running []int
	for i, s := range scenes {
		for _, pid := range running {
			if !slices.ContainsFunc(s, func(p fakeProcess) bool { return p.pid == pid }) {
				f.remove(pid)
			}
		}
		running = running[:0]
		for _, p := range s {
			f.put(p)
			running = append(running, p.pid)
		}
		w.tick(time.Duration(min(i, 1)) * 5 * time.Second)
	}
}

func TestRestarts(t *testing.T) {
	target := Options{Targets: []Target{target("srv", Config{Match: Match{Comm: "srv"}, Children: true})}}
	units := Options{Discover: &Discover{By: ByUnit, Top: 5}}
	tests := []struct {
		name   string
		opts   Options
		usage  string
		scenes []scene
		want   string // "" = not counted
	}{
		{"nothing happens", target, "srv", []scene{{service(10, -60)}, {service(10, -60)}}, "0"},
		{"the first start is not a restart", target, "srv", []scene{{}, {service(10, 4)}}, "0"},
		{"seen in the second of its start", target, "srv", []scene{{}, {service(10, 5)}, {service(10, 5)}}, "0"},
		{"replaced between two refreshes", target, "srv", []scene{{service(10, -60)}, {service(11, 3)}}, "1"},
		{"gone for a while", target, "srv", []scene{{service(10, -60)}, {}, {}, {}, {}, {}, {service(11, 29)}}, "1"},
		{"twice", target, "srv", []scene{{service(10, -60)}, {service(11, 3)}, {}, {service(12, 14)}}, "2"},
		{
			"all workers at once", target, "srv",
			[]scene{{service(10, -60), service(11, -60)}, {service(12, 3), service(13, 3)}},
			"1",
		},
		{"a worker more, a worker less", target, "srv", []scene{{service(10, -60)}, {service(10, -60), service(11, 3)}, {service(11, 3)}}, "0"},
		{"rolling reload of four", target, "srv", []scene{
			{service(10, -60), service(11, -60), service(12, -60), service(13, -60)},
			{service(11, -60), service(12, -60), service(13, -60), service(14, 3)},
			{service(12, -60), service(13, -60), service(14, 3), service(15, 8)},
			{service(13, -60), service(14, 3), service(15, 8), service(16, 13)},
			{service(14, 3), service(15, 8), service(16, 13), service(17, 18)},
			{service(15, 8), service(16, 13), service(17, 18), service(18, 23)},
		}, "0"},
		{"a reload of which the listing saw nothing in between", target, "srv", []scene{{service(10, -60)}, {service(10, -60)}, {service(11, 2)}}, "0"},
		{"the same process leaves and joins", target, "srv", []scene{
			{service(10, -60)}, {fakeProcess{pid: 10, comm: "other", start: startedAt(-60)}}, {service(10, -60)},
		}, "0"},
		{"an older process takes over", target, "srv", []scene{{service(10, -60)}, {service(9, -90)}}, "0"},
		{"a helper comes and goes", target, "srv", []scene{
			{service(10, -60), helper(20, 10, -5)}, {service(10, -60), helper(21, 10, 3)}, {service(10, -60), helper(22, 10, 8)},
		}, "0"},
		{"a helper outlives its service", target, "srv", []scene{
			{service(10, -60), helper(20, 10, -5)}, {helper(20, 1, -5)}, {service(11, 8), helper(20, 1, -5)},
		}, "1"},
		{"a unit", units, "srv.service", []scene{{service(10, -60)}, {}, {service(11, 8)}}, "1"},
		{"a unit that a timer starts", units, "srv.service", []scene{{service(10, -60)}, {}, {}, {}, {}, {service(11, 24)}}, "0"},
		{"a cgroup", Options{Discover: &Discover{By: ByCgroup, Top: 5}}, "system.slice_srv.service", []scene{{service(10, -60)}, {service(11, 3)}}, "1"},
		{"a name", Options{Discover: &Discover{By: ByComm, Top: 5}}, "srv", []scene{{service(10, -60)}, {service(11, 3)}}, ""},
		{"a user", Options{Discover: &Discover{By: ByUser, Top: 5}}, "root", []scene{{service(10, -60)}, {service(11, 3)}}, ""},
		{"what is in no unit", units, "none", []scene{
			{fakeProcess{pid: 10, comm: "sleep", start: startedAt(-60)}}, {fakeProcess{pid: 11, comm: "sleep", start: startedAt(3)}},
		}, ""},
		{"the rest", units, Overflow, []scene{{service(10, -60)}, {service(11, 3)}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			tt.opts.Root = f.dir
			w := watch(t, tt.opts)
			play(w, f, tt.scenes)
			u := w.usage(tt.usage)
			got := ""
			if u.HasRestarts {
				got = strconv.FormatUint(u.Restarts, 10)
			}
			if got != tt.want {
				t.Errorf("restarts %q, want %q", got, tt.want)
			}
		})
	}
}
