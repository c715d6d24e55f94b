package evidence

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/heap"
)

// planted is what leaks in each of the services.
var planted = map[string]string{
	heap.ProviderNode: "rememberSession", heap.ProviderAgent: "rememberSession",
	heap.ProviderPython: "__main__.RememberedSession",
	heap.ProviderJVM:    "Service$RememberedSession", heap.ProviderGo: "main.rememberSession",
}

// runs is how often a service is started: EVIDENCE_RUNS, else once.
func runs(t *testing.T) int {
	t.Helper()
	text := os.Getenv("EVIDENCE_RUNS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// kinds are the services, and the flags of their runtimes.
var kinds = []struct {
	name, provider string
	flags          []string
}{
	{"node_inspector", heap.ProviderNode, nil},
	{"node_agent", heap.ProviderAgent, nil},
	{"jvm G1", heap.ProviderJVM, []string{"-XX:+UseG1GC", "-Xmx512m"}},
	{"jvm Parallel", heap.ProviderJVM, []string{"-XX:+UseParallelGC", "-Xmx512m"}},
	{"go_pprof", heap.ProviderGo, nil},
	{"python_agent", heap.ProviderPython, nil},
}

// observed lets a service serve, with a cache that breathes, and returns what six captures say.
func observed(t *testing.T, s *live, r *rand.Rand, leakMiB int) Difference {
	t.Helper()
	var all []Profile
	for i := range 6 {
		if i > 0 && leakMiB > 0 {
			s.do("leak", leakMiB)
		}
		s.do("serve", 500)
		s.do("breathe", 20+r.IntN(30))
		s.do("serve", 500)
		all = append(all, s.capture())
	}
	d, err := Diff(all[0], all[5], all[1:5]...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func shown(d *Difference) string {
	out := fmt.Sprintf("%d to %d MiB, %s", d.Before>>20, d.After>>20, d.Why)
	for _, g := range d.Rows[:min(5, len(d.Rows))] {
		out += fmt.Sprintf("\n%s %s:%d %+d KiB, %.0f %%, sure %v", g.Name, g.File, g.Line, g.Bytes>>10, 100*g.Share, g.Sure)
	}
	return out
}

// TestCulprit: what leaks is named, and stands in the first three rows, next to a cache that breathes.
func TestCulprit(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			for run := range runs(t) {
				t.Run(strconv.Itoa(run), func(t *testing.T) {
					d := observed(t, services[k.provider](t, k.flags...), rand.New(rand.NewPCG(5, uint64(run))), 8)
					want, first := planted[k.provider], false
					for _, g := range d.Rows[:min(3, len(d.Rows))] {
						first = first || g.Name == want
					}
					if !first || d.Culprit == nil || d.Culprit.Name != want {
						t.Errorf("culprit %+v, want %s\n%s", d.Culprit, want, shown(&d))
					}
				})
			}
		})
	}
}

// TestNoCulprit: of a service that does not leak none is named.
func TestNoCulprit(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			for run := range runs(t) {
				t.Run(strconv.Itoa(run), func(t *testing.T) {
					d := observed(t, services[k.provider](t, k.flags...), rand.New(rand.NewPCG(6, uint64(run))), 0)
					if d.Culprit != nil {
						t.Errorf("culprit %+v of a service that does not leak\n%s", d.Culprit, shown(&d))
					}
				})
			}
		})
	}
}

// TestCulpritByLine: where a Python service traces what it allocates, the function and its file are named.
func TestCulpritByLine(t *testing.T) {
	s := services[heap.ProviderPython](t, "PYTHONTRACEMALLOC=1")
	s.do("leak", 1)
	before := s.capture()
	s.do("leak", 4)
	d, err := Diff(before, s.capture())
	if err != nil || len(d.Rows) == 0 {
		t.Fatalf("%+v, %v", d, err)
	}
	if g := d.Rows[0]; before.Rung != RungTracemalloc || g.File != "testdata/server.py" || g.Line != 17 || g.Name != "RememberedSession.__init__" && g.Name != "__init__" || g.Bytes < 3<<20 {
		t.Errorf("%s: %+v, want the line that leaks", before.Rung, g)
	}
}
