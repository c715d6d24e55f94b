//go:build e2e

package web

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const mib = 1 << 20

// world is what a server shows in a browser; safe for concurrent use through its lock.
type world struct {
	store *series.Store

	mu      sync.Mutex
	now     time.Time
	state   State
	records []journal.Record
	past    pastHistory
}

func newWorld() *world {
	return &world{store: series.NewStore(series.Options{Interval: 5 * time.Second}), now: time.Now(), state: State{Modes: map[string]string{}, Standalone: true}}
}

// change changes the world under its lock.
func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) handler() http.Handler {
	return New(Options{
		Store: w.store, History: &w.past, TelemetryPath: "/metrics", Version: "spillway_exporter 1.2.3", Host: "media-01.example.net",
		Metrics: http.NotFoundHandler(),
		Submit:  func(context.Context, alert.Batch) ([]alert.Disposition, error) { return nil, nil },
		RunNow:  func(context.Context, RunRequest) (string, error) { return "1", nil },
		Journal: func(f journal.Filter) ([]journal.Record, string, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return slices.DeleteFunc(slices.Clone(w.records), func(r journal.Record) bool {
				return f.Target != "" && f.Target != r.Target || r.Time.Before(f.Since)
			}), "", nil
		},
		State: func() State {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.state
		},
		Reload: func() error { return nil }, Ready: func() error { return nil },
		Interval: func() time.Duration { return 5 * time.Second }, LearnHost: func(string) {},
		Access: func() Access { return Access{} }, Authenticated: func(*http.Request) bool { return true },
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: w.clock,
	})
}

// fake is one target to observe.
type fake struct {
	name      string
	limit     float64
	ratios    func(i int) float64 // by sample, 0 the oldest of 100
	level     series.Level
	processes float64
	growth    float64
	heap      float64 // share of a limit of half the memory's; 0 = none
	caches    []fakeCache
	temps     []fakeTemp
	probe     float64 // seconds; 0 = none
}

type fakeCache struct {
	name           string
	entries, bytes float64
	max            float64
	hits           float64
}

type fakeTemp struct {
	name                       string
	files, empty, expired, max float64
	bytes                      float64
}

// observe publishes 100 samples of the targets that end at w.now.
func (w *world) observe(fakes ...fake) {
	var b series.Batch
	for i := range 100 {
		b.Reset(w.now.Add(time.Duration(i-99) * 5 * time.Second))
		for _, f := range fakes {
			f.set(&b, i)
		}
		w.store.Commit(&b)
	}
}

func (f *fake) set(b *series.Batch, i int) {
	at := []string{f.name}
	for level, v := range map[string]float64{"warning": .7, "critical": .85, "emergency": .95} {
		b.Set(metric.ThresholdRatio, v, f.name, metric.SignalMemory, level)
		b.Set(metric.ThresholdRatio, v, f.name, metric.SignalHeap, level)
	}
	if f.processes >= 0 {
		b.Set(metric.Processes, f.processes, at...)
	}
	if f.probe > 0 {
		b.Set(metric.ProbeSuccess, 1, at...)
		b.Set(metric.ProbeStatus, 200, at...)
		b.Set(metric.ProbeDuration, f.probe*(1+.2*math.Sin(float64(i)/3)), at...)
		b.Set(metric.ProbeMaxDuration, .2, at...)
		b.Set(metric.StartupDuration, 2.5, at...)
		b.Set(metric.AppValue, 17, f.name, "queue_length")
	}
	if f.ratios != nil {
		ratio := f.ratios(i)
		used := ratio * f.limit
		b.Set(metric.MemoryResident, used*1.02, at...)
		b.Set(metric.MemoryWindowMax, f.limit*.93, at...)
		b.Set(metric.MemoryUsed, used, at...)
		b.Set(metric.MemoryLimit, f.limit, at...)
		b.Set(metric.MemoryUsedRatio, ratio, at...)
		b.Set(metric.MemoryLimitInfo, 1, f.name, "config", "rss")
		b.Set(metric.MemoryLevel, float64(f.level), at...)
		b.Set(metric.MemoryGrowth, f.growth, at...)
		b.Set(metric.MemoryExhaustion, series.Exhaustion(used, f.limit, f.growth), at...)
		if f.heap > 0 {
			share := f.heap * ratio / f.ratios(99)
			b.Set(metric.HeapUsed, share*f.limit/2, f.name, "node")
			b.Set(metric.HeapLimit, f.limit/2, f.name, "node")
			b.Set(metric.HeapUsedRatio, share, f.name, "node")
		}
	}
	for _, c := range f.caches {
		grown := .8 + .2*float64(i)/99
		b.Set(metric.CacheEntries, math.Round(c.entries*grown), f.name, c.name)
		b.Set(metric.CacheSize, c.bytes*grown, f.name, c.name)
		b.Set(metric.CacheMaxSize, c.max, f.name, c.name)
		b.Set(metric.CacheMaxEntries, 1000, f.name, c.name)
		b.Set(metric.CacheUsedRatio, c.bytes*grown/c.max, f.name, c.name)
		b.Set(metric.CacheExpired, 12, f.name, c.name)
		if c.hits > 0 {
			b.Set(metric.CacheHitRatio, c.hits, f.name, c.name, "app")
		}
	}
	for _, d := range f.temps {
		b.Set(metric.TempFiles, math.Round(d.files*(.3+.7*float64(i)/99)), f.name, d.name)
		b.Set(metric.TempEmpty, d.empty, f.name, d.name)
		b.Set(metric.TempExpired, d.expired, f.name, d.name)
		b.Set(metric.TempSize, d.bytes, f.name, d.name)
		b.Set(metric.TempMaxFiles, d.max, f.name, d.name)
	}
}

func flat(v float64) func(int) float64 {
	return func(i int) float64 { return v + .004*math.Sin(float64(i)/3) }
}

// leak rises with a sawtooth from one share to another.
func leak(from, to float64) func(int) float64 {
	return func(i int) float64 {
		x := float64(i) / 99
		return from + (to-from)*x - .03*math.Mod(x*9+.999, 1)*(1-x)
	}
}

// orchestrator is the first service, in trouble.
func orchestrator() fake {
	return fake{
		name: "orchestrator", limit: 1024 * mib, ratios: leak(.42, .882), level: series.LevelCritical, processes: 4, growth: .8 * mib, heap: .91,
		caches: []fakeCache{{"media", 1204, 1130 * mib, 1024 * mib, .874}},
		temps:  []fakeTemp{{"tts", 655, 592, 592, 100, 41 * mib}},
	}
}

// allStates is a fleet in which every state of the page occurs once.
func (w *world) allStates() {
	ago := func(d time.Duration) time.Time { return w.now.Add(-d) }
	w.state.Modes = map[string]string{"orchestrator": "enforce", "renderer": "enforce", "uploader": "dry_run", "gateway": "dry_run", "worker": "enforce", "thumbnails": "enforce"}
	w.state.Alerts = []Alert{
		{Name: "SpillwayMemoryEmergency", State: "firing", Labels: map[string]string{"target": "renderer", "severity": "critical", "level": "emergency", "playbook": "relieve_memory"}, Annotations: map[string]string{"summary": "Memory of renderer at 96.4% (emergency)", "runbook_url": docsURL + "/runbooks/SpillwayMemoryEmergency.md"}, Value: "0.964", ActiveAt: ago(40 * time.Second)},
		{Name: "SpillwayMemoryCritical", State: "firing", Labels: map[string]string{"target": "orchestrator", "severity": "critical", "playbook": "relieve_memory"}, Annotations: map[string]string{"summary": "Memory of orchestrator at 88.2% (critical)"}, Value: "0.882", ActiveAt: ago(3 * time.Minute)},
		{Name: "SpillwayTargetDown", State: "pending", Labels: map[string]string{"target": "worker", "severity": "critical"}, Annotations: map[string]string{"summary": "No process of worker is running"}, Value: "0", ActiveAt: ago(25 * time.Second)},
	}
	w.state.Rules = []Rule{
		{Group: "spillway-pressure", Name: "SpillwayMemoryWarning", State: "inactive"},
		{Group: "spillway-pressure", Name: "SpillwayMemoryCritical", State: "firing"},
		{Group: "spillway-pressure", Name: "SpillwayMemoryEmergency", State: "firing"},
		{Group: "spillway-target", Name: "SpillwayTargetDown", State: "pending"},
		{Group: "own", Name: "OwnRule", State: "inactive", LastError: "many-to-many matching not allowed"},
	}
	w.state.Providers = []Provider{
		{Name: "node_inspector 127.0.0.1:9229", Kind: "node_inspector", Open: true, Opens: 2},
		{Name: "node_inspector 127.0.0.1:9230", Kind: "node_inspector", Failures: 14, LastError: "connection refused: start the service with --inspect=127.0.0.1:9230"},
	}
	w.state.Activity = Activity{
		Queued: 1,
		Runs: []Run{
			{ID: "6", Target: "renderer", Playbook: "relieve_memory", Mode: "enforce", Trigger: "webhook", Alert: "SpillwayMemoryEmergency", Alerts: 2, Level: "emergency", State: "running", Step: 2, Steps: 3, Action: "evict_cache", Files: 45, Bytes: 123 * mib, Since: ago(20 * time.Second)},
			{ID: "7", Target: "uploader", Playbook: "clean_temp", Mode: "dry_run", Trigger: "schedule", Level: "warning", State: "running", Step: 1, Steps: 1, Action: "clean_temp", Files: 12, Since: ago(2 * time.Second)},
			{ID: "8", Target: "renderer", Playbook: "trim_cache", Mode: "enforce", Trigger: "manual", Level: "normal", State: "queued", WaitsFor: "relieve_memory", Steps: 1, Since: ago(time.Second)},
		},
		Cooldowns: []Cooldown{
			{Target: "orchestrator", Playbook: "relieve_memory", Until: w.now.Add(8 * time.Minute), Mode: "enforce", LastRun: "5", LastOutcome: "ineffective", LastEnd: ago(2 * time.Minute)},
		},
	}
	w.state.Config, w.state.LoadedAt = "/etc/spillway/spillway.yml", ago(3*time.Hour)
	w.state.Errors = []SourceError{{"heap", "gateway", "", "dial tcp 127.0.0.1:9230: connect: connection refused: start the service with --inspect=127.0.0.1:9230"}}
	w.observe(
		fake{name: "gateway", limit: 512 * mib, ratios: flat(.41), processes: 2, probe: .012},
		fake{name: "host", limit: 8192 * mib, ratios: flat(.612), processes: -1, temps: []fakeTemp{{"tmp", 37, 4, 0, 10000, 18 * mib}}},
		orchestrator(),
		fake{name: "renderer", limit: 2048 * mib, ratios: leak(.5, .964), level: series.LevelEmergency, processes: 1, growth: 2.5 * mib, heap: .97},
		fake{name: "thumbnails", limit: 0, processes: -1, caches: []fakeCache{{"thumbs", 800, 300 * mib, 1024 * mib, 0}}},
		fake{name: "uploader", limit: 768 * mib, ratios: leak(.61, .744), level: series.LevelWarning, processes: 3, growth: .05 * mib},
		fake{name: "worker", limit: 512 * mib, processes: 0},
	)
	run := func(d time.Duration, id, target, playbook, trigger, name, mode, outcome, before, after string, files, freed int64) journal.Record {
		return journal.Record{ID: id, RunID: id, Time: ago(d), Target: target, Playbook: playbook, Trigger: trigger, Alert: name, Mode: mode, Outcome: outcome, Before: before, After: after, Files: files, FreedBytes: freed, DurationSecs: 2.4}
	}
	step := func(r journal.Record, n int, action, outcome string, files, freed int64, skipped map[string]int64) journal.Record {
		r.ID, r.Step, r.Action, r.Outcome, r.Files, r.FreedBytes, r.Skipped = r.ID+action, n, action, outcome, files, freed, skipped
		return r
	}
	first := run(2*time.Minute, "5", "orchestrator", "relieve_memory", "standalone", "SpillwayMemoryCritical", "enforce", "ineffective", "memory 903MiB of 1GiB (88.2%)", "memory 891MiB of 1GiB (87.0%)", 712, 389*mib)
	w.records = []journal.Record{
		run(20*time.Second, "6", "renderer", "relieve_memory", "webhook", "SpillwayMemoryEmergency", "enforce", "", "memory 1.9GiB of 2GiB (96.4%)", "", 0, 0),
		first,
		step(first, 3, "collect_garbage", "done", 0, 0, nil),
		step(first, 2, "evict_cache", "partial", 120, 348*mib, map[string]int64{"in_use": 3, "too_young": 11}),
		step(first, 1, "clean_temp", "done", 592, 41*mib, nil),
		run(26*time.Minute, "4", "uploader", "clean_temp", "schedule", "", "dry_run", "dry_run", "temp incoming: 120 files", "temp incoming: 120 files", 45, 0),
		run(3*time.Hour, "3", "orchestrator", "relieve_memory", "webhook", "SpillwayMemoryCritical", "enforce", "relieved", "memory 912MiB of 1GiB (89.1%)", "memory 652MiB of 1GiB (63.7%)", 655, 420*mib),
		run(9*time.Hour, "2", "orchestrator", "trim_cache", "manual", "", "enforce", "interrupted", "cache media: 1204 entries, 1.1GiB (110.3%)", "", 0, 0),
	}
	w.records[7].Error = "the process ended before the run did"
}

// fleet is a fleet of n targets: one alone, or every state of the page and many that are well.
func (w *world) fleet(n int) {
	if n == 1 {
		w.state.Modes = map[string]string{"orchestrator": "enforce"}
		o := orchestrator()
		o.ratios, o.level, o.growth, o.heap = flat(.52), series.LevelNormal, 0, .4
		o.caches, o.temps = []fakeCache{{"media", 804, 730 * mib, 1024 * mib, .874}}, []fakeTemp{{"tts", 41, 0, 0, 100, 3 * mib}}
		w.observe(o)
		return
	}
	w.allStates()
	var more []fake
	for i := range n - 7 {
		f := fake{name: fmt.Sprintf("service-%03d", i+1), limit: float64(512+256*(i%7)) * mib, ratios: flat(.2 + .4*float64(i%13)/13), processes: float64(1 + i%4)}
		if i%3 == 0 {
			f.caches = []fakeCache{{"assets", 400 + float64(i), 300 * mib, 1024 * mib, .8}}
		}
		if i%4 == 1 {
			f.temps = []fakeTemp{{"tmp", float64(20 + i%60), 3, 0, 100, 4 * mib}}
		}
		if i%5 == 2 {
			f.heap = .3 + .02*float64(i%9)
		}
		if i%29 == 11 {
			f.ratios, f.level, f.growth = leak(.6, .73), series.LevelWarning, .02*mib
		}
		w.state.Modes[f.name] = []string{"dry_run", "enforce", "propose"}[i%3]
		more = append(more, f)
	}
	w.observe(more...)
}

// fortnight gives the world a history: a service that grows from one start to the next, with the rhythm of the day,
// and as a new build from the second start on. Of one night nothing was recorded.
func (w *world) fortnight() {
	begin := w.now.Add(-14 * 24 * time.Hour).Truncate(history.Step)
	starts := []time.Duration{3 * 24 * time.Hour, 9 * 24 * time.Hour}
	for i, at := range starts {
		w.past.marks = append(w.past.marks, history.Mark{Target: "orchestrator", Time: begin.Add(at), Program: history.Program{Inode: uint64(i + 1)}})
	}
	since := time.Duration(0)
	for at := time.Duration(0); at < 14*24*time.Hour-history.Step; at += history.Step {
		if slices.Contains(starts, at) {
			since = at
		}
		if at > 6*24*time.Hour && at < 6*24*time.Hour+9*time.Hour {
			continue
		}
		mean := 380 + 60*(at-since).Hours()/24 + 40*math.Sin(2*math.Pi*at.Hours()/24)
		w.past.points = append(w.past.points, history.Point{Time: begin.Add(at), Min: (mean - 25) * mib, Mean: mean * mib, Max: (mean + 35) * mib})
	}
}
