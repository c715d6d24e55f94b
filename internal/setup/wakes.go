package setup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/cgroup"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/wake"
)

// cgroupPaths are the cgroups of a target, and the limit from which its thresholds follow.
type cgroupPaths struct {
	v2, v1 string
	limit  float64
}

// Wakes keeps what the kernel is asked to report by in step with where the processes of the targets
// are. Where they are is found out with each sweep; the rest is done again only where that changed.
type Wakes struct {
	waker *wake.Waker

	mu    sync.Mutex
	known map[string]cgroupPaths
	found map[string][]wake.Subject
	all   []wake.Subject
}

// NewWakes returns a Wakes that registers nothing yet.
func NewWakes(w *wake.Waker) *Wakes {
	return &Wakes{waker: w, known: make(map[string]cgroupPaths), found: make(map[string][]wake.Subject)}
}

// Swept is what a sweep of the processes has found.
type Swept struct {
	Config  *config.Config
	Tracker *proc.Tracker
	Cgroups *cgroup.Tree
	Store   *series.Store
	Now     time.Time
	ProcFS  string
}

// Follow registers the targets after a sweep of their processes.
func (w *Wakes) Follow(s *Swept) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all[:0], wake.Subject{Target: collector.HostTarget, Pressure: filepath.Join(s.ProcFS, "pressure/memory")})
	watched := 0
	for i := range s.Config.Targets {
		if t := &s.Config.Targets[i]; t.Processes != nil {
			watched++
			w.all = append(w.all, w.subjects(s, t)...)
		}
	}
	if len(w.known) > watched { // some are gone since a reload: all are looked at again
		clear(w.known)
		clear(w.found)
	}
	w.waker.Set(w.all)
}

// subjects returns what is watched for a target: what was there before while its cgroups cannot be
// read, and nothing while it has none.
func (w *Wakes) subjects(s *Swept, t *config.Target) []wake.Subject {
	u, err := s.Tracker.Usage(t.Name)
	if err != nil {
		return w.found[t.Name]
	}
	now := cgroupPaths{v2: u.CgroupV2, v1: u.CgroupV1}
	if u.Processes == 0 {
		now = cgroupPaths{}
	}
	now.limit, _, _ = s.Store.Value(metric.MemoryLimit, t.Name)
	if known, ok := w.known[t.Name]; ok && known == now {
		return w.found[t.Name]
	}
	groups, err := s.Cgroups.Find(s.Now, now.v2, now.v1)
	if err != nil {
		return nil // the source of its processes says why
	}
	found := subjectsOf(t.Name, groups, thresholdsOf(s.Config, now.limit))
	w.known[t.Name], w.found[t.Name] = now, found
	return found
}

// thresholdsOf are the numbers of bytes at which the levels begin.
func thresholdsOf(cfg *config.Config, limit float64) []int64 {
	if limit <= 0 {
		return nil
	}
	l := cfg.Thresholds.Memory.Of()
	return []int64{int64(l.Warning * limit), int64(l.Critical * limit), int64(l.Emergency * limit)}
}

// subjectsOf returns the cgroups to watch for a target: its own, and of version 2 the nearest above
// that has a limit, whose events its own file does not count. The top of a hierarchy counts for the
// whole host and is left out.
func subjectsOf(target string, groups []cgroup.Group, thresholds []int64) []wake.Subject {
	var out []wake.Subject
	for _, g := range groups {
		below := g.Dirs[:len(g.Dirs)-1]
		if len(below) == 0 {
			continue
		}
		own := wake.Subject{Target: target, CgroupDir: below[0]}
		if !g.Unified {
			own.Thresholds = thresholds
		}
		out = append(out, own)
		if !g.Unified || limited(below[0]) {
			continue
		}
		if i := slices.IndexFunc(below, limited); i > 0 {
			out = append(out, wake.Subject{Target: target, CgroupDir: below[i]})
		}
	}
	return out
}

// limited reports whether a cgroup of version 2 has a limit of its own.
func limited(dir string) bool {
	for _, name := range []string{"memory.max", "memory.high"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil && strings.TrimSpace(string(b)) != "max" {
			return true
		}
	}
	return false
}
