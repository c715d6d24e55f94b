package replay

import (
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/folderlog"
	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

const (
	mib     = 1 << 20
	day     = 24 * time.Hour
	week    = 7 * day
	between = 5 * time.Second // between two readings of the simulated services
)

// monday is where the recorded week begins.
var monday = time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC)

// recorded is a past that a simulated service has left.
type recorded struct {
	t       *testing.T
	dir     string
	history *history.Store
	files   *folderlog.Log
	records []journal.Record
}

func record(t *testing.T) *recorded {
	t.Helper()
	r := &recorded{t: t, dir: t.TempDir()}
	r.history = history.New(history.Options{
		Path: filepath.Join(r.dir, history.FileName), Keep: 100 * day, Now: func() time.Time { return monday.Add(week) }, Logger: slog.New(slog.DiscardHandler),
	})
	if err := r.history.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.history.Close() })
	var err error
	if r.files, err = folderlog.Open(r.dir); err != nil {
		t.Fatal(err)
	}
	return r
}

// memory is what services use, in MiB, at a time.
type memory map[string]func(time.Time) float64

// live lets services live through a span, of which the history keeps five minutes each. limits are in MiB.
func (r *recorded) live(from, to time.Time, services memory, limits map[string]float64) {
	r.t.Helper()
	names := slices.Sorted(maps.Keys(services))
	for at := from; at.Before(to); at = at.Add(history.Step) {
		var samples []history.Sample
		for _, name := range names {
			lowest, highest, sum, n := 1e9, 0.0, 0.0, 0
			for x := at; x.Before(at.Add(history.Step)); x = x.Add(between) {
				v := services[name](x)
				lowest, highest, sum, n = min(lowest, v), max(highest, v), sum+v, n+1
			}
			mean, limit := sum/float64(n), limits[name]
			samples = append(samples,
				history.Sample{Target: name, Gauge: "spillway_memory_used_bytes", Min: lowest * mib, Mean: mean * mib, Max: highest * mib},
				history.Sample{Target: name, Gauge: "spillway_memory_used_ratio", Min: lowest / limit, Mean: mean / limit, Max: highest / limit})
		}
		if err := r.history.Append(at, samples, nil); err != nil {
			r.t.Fatal(err)
		}
	}
}

// play replays the recorded week, or the beginning of it, with a file.
func (r *recorded) play(file string, span time.Duration) *Report {
	r.t.Helper()
	cfg, err := config.Parse("new.yml", []byte(file))
	if err != nil {
		r.t.Fatal(err)
	}
	set, err := setup.LoadRules(cfg, new(config.Checks))
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.files.Close(); err != nil {
		r.t.Fatal(err)
	}
	out, err := Play(r.t.Context(), Options{
		Config: cfg, Rules: set, History: r.history, Files: r.files, From: monday, To: monday.Add(span),
		Journal: func(f journal.Filter) ([]journal.Record, string, error) {
			list := slices.Clone(r.records)
			slices.SortFunc(list, func(a, b journal.Record) int { return b.Time.Compare(a.Time) })
			return slices.DeleteFunc(list, func(x journal.Record) bool { return x.Time.Before(f.Since) || !x.Time.Before(f.Until) }), "", nil
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// expected is a run that a replay is to name.
type expected struct {
	after           time.Duration // since Monday, of the exact time
	target, what    string
	level, would    string
	really, outcome string
}

func (e *expected) String() string {
	return fmt.Sprintf("%s %s %s at %s: %s (%s), really %q", e.after, e.target, e.what, e.level, e.would, e.outcome, e.really)
}

// compare finds for each run that is expected the one that was named: within one resolution of its time, and no other.
func compare(t *testing.T, got []Run, want []expected) {
	t.Helper()
	left := slices.Clone(got)
	for i := range want {
		w := &want[i]
		at := monday.Add(w.after)
		found := slices.IndexFunc(left, func(r Run) bool {
			really := ""
			if r.Really != nil {
				really = r.Really.ID
			}
			return r.Target == w.target && r.Playbook == w.what && r.Level == w.level && r.Would == w.would && r.Outcome == w.outcome && really == w.really &&
				at.Sub(r.Time) > -history.Step && at.Sub(r.Time) < 2*history.Step
		})
		if found < 0 {
			t.Errorf("not named: %s", w)
			continue
		}
		left = slices.Delete(left, found, found+1)
	}
	for _, r := range left {
		t.Errorf("named, and not expected: %s %s %s at %s: %s (%s), for %vs, %+v", r.Time.Sub(monday), r.Target, r.Playbook, r.Level, r.Would, r.Outcome, r.Seconds, r.Really)
	}
}

// bump is memory that is higher for a while.
type bump struct {
	from, length time.Duration // since Monday
	high         float64
}

func bumps(base float64, list ...bump) func(time.Time) float64 {
	return func(at time.Time) float64 {
		after := at.Sub(monday)
		for _, b := range list {
			if after >= b.from && after < b.from+b.length {
				return b.high
			}
		}
		return base
	}
}

const weekFile = `
mode: enforce
windows:
  night: [{times: [{start_time: '22:00', end_time: '24:00'}, {start_time: '00:00', end_time: '06:00'}]}]
targets:
  - name: web
    processes: {match: {comm: web}}
    memory: {limit: 1000MiB}
    temp_dirs: [{name: tts, dir: /srv/web/tts, include: ['*.wav'], max_age: 1h}]
    playbooks: {relieve_memory: [{do: reclaim_cgroup, amount: 100MiB}]}
  - name: api
    processes: {match: {comm: api}}
    memory: {limit: 1000MiB}
    temp_dirs: [{name: tmp, dir: /srv/api/tmp, include: ['*'], max_age: 30d}]
    guards: {relieve_memory: {budget: {at_most: 1, per: 24h}}}
  - name: batch
    processes: {match: {comm: batch}}
    memory: {limit: 1000MiB}
    temp_dirs: [{name: tmp, dir: /srv/batch/tmp, include: ['*'], max_age: 30d}]
    guards: {relieve_memory: {when_open: night}}
`

// A week of services whose pressure is known to the second, and so is what the file has to do about it.
func TestRecordedWeek(t *testing.T) {
	r := record(t)
	at := func(d, h, m int) time.Duration {
		return time.Duration(d)*day + time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
	}
	r.live(monday.Add(-4*time.Hour), monday.Add(week), memory{
		"web": bumps(400,
			bump{at(0, 3, 0), 4 * time.Minute, 720},            // warning, gone before five minutes are full
			bump{at(0, 12, 0), 12 * time.Minute, 720},          // warning; a run that does not help, and no second one
			bump{at(1, 9, 2), 30 * time.Minute, 880},           // critical, for long: a run, and one more after the doubled cooldown
			bump{at(2, 14, 31), 10 * time.Second, 960},         // a peak into emergency, which needs no time
			bump{at(3, 20, 0), 20 * time.Minute, 720},          // while a person has paused it
			bump{at(5, 1, 1), 30 * time.Second, 720},           // too short for the minute that the rule waits: it cannot be seen
			bump{at(6, 23, 50), 10*time.Minute + 1*day, 690.0}, // just below
		),
		"api":   bumps(400, bump{at(1, 1, 0), 10 * time.Minute, 720}, bump{at(1, 8, 0), 10 * time.Minute, 720}, bump{at(2, 8, 0), 10 * time.Minute, 720}),
		"batch": bumps(400, bump{at(2, 12, 0), 10 * time.Minute, 720}, bump{at(2, 23, 0), 10 * time.Minute, 720}),
	}, map[string]float64{"web": 1000, "api": 1000, "batch": 1000})
	rec := func(id string, after time.Duration, target, playbook string) journal.Record {
		return journal.Record{RunID: id, Time: monday.Add(after), Target: target, Playbook: playbook, Trigger: string(alert.TriggerStandalone), Mode: "enforce", Outcome: "relieved"}
	}
	step := rec("r1", at(1, 9, 3), "web", "relieve_memory")
	step.Step, step.Action = 1, "reclaim_cgroup"
	manual := rec("m1", at(4, 4, 0), "web", "relieve_memory")
	manual.Trigger = string(alert.TriggerManual)
	r.records = []journal.Record{
		rec("r1", at(1, 9, 3), "web", "relieve_memory"), step,
		rec("old", at(4, 16, 0), "api", "relieve_heap"), // of a playbook that would not have run
		{RunID: "p", Time: monday.Add(at(3, 19, 0)), Target: "web", Action: "pause", Trigger: string(alert.TriggerManual), Intent: "pause target web until " + monday.Add(at(3, 21, 0)).Format(time.RFC3339) + ": maintenance"},
		manual,
	}
	report := r.play(weekFile, week)
	compare(t, report.Runs, []expected{
		{at(0, 3, 1), "web", "relieve_memory", "warning", MayHave, "", "relieved"},
		{at(0, 12, 1), "web", "relieve_memory", "warning", WouldHave, "", "ineffective"},
		{at(0, 12, 11), "web", "relieve_memory", "warning", WouldHave, "", "relieved"},
		{at(1, 9, 2), "web", "relieve_memory", "critical", WouldHave, "r1", "ineffective"},
		{at(1, 9, 12), "web", "relieve_memory", "critical", WouldHave, "", "ineffective"},
		{at(1, 9, 32), "web", "relieve_memory", "critical", WouldHave, "", "relieved"},
		{at(2, 14, 31), "web", "relieve_memory", "emergency", WouldHave, "", "relieved"},
		{at(5, 1, 1), "web", "relieve_memory", "warning", MayHave, "", "relieved"},
		{at(1, 1, 1), "api", "relieve_memory", "warning", WouldHave, "", "ineffective"}, // and then its budget is used up for a day
		{at(2, 8, 1), "api", "relieve_memory", "warning", WouldHave, "", "ineffective"},
		{at(2, 23, 1), "batch", "relieve_memory", "warning", WouldHave, "", "ineffective"}, // not at noon
		{at(4, 16, 0), "api", "relieve_heap", "", WouldNot, "old", ""},
	})
	if joined := strings.Join(report.Notes, "\n"); !strings.Contains(joined, "SpillwayMemoryRunningOut") || strings.Contains(joined, "SpillwayMemoryWarning") {
		t.Errorf("the notes are\n%s", joined)
	}
}

// trace is the life of one simulated file.
type trace struct {
	hash          uint64
	made, deleted time.Duration // since Monday; deleted 0: never
	opened        []time.Duration
	victim        bool
	regret        bool
}

// note puts files into the log of a folder, in the order of time.
func (r *recorded) note(folder string, traces []trace) {
	type event struct {
		kind folderlog.Kind
		at   time.Time
		hash uint64
	}
	events := []event{{folderlog.Listed, monday.Add(-3 * time.Hour), 0}}
	for i := range traces {
		x := &traces[i]
		events = append(events, event{folderlog.Written, monday.Add(x.made), x.hash})
		for _, at := range x.opened {
			events = append(events, event{folderlog.Opened, monday.Add(at), x.hash})
		}
		if x.deleted > 0 {
			events = append(events, event{folderlog.Deleted, monday.Add(x.deleted), x.hash})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	for _, e := range events {
		r.files.Record(e.kind, e.at, folder, e.hash, 1000)
	}
}

// victims compares what a policy would have removed with what it had to.
func victims(t *testing.T, report *Report, name string, traces []trace) {
	t.Helper()
	i := slices.IndexFunc(report.Folders, func(f Folder) bool { return f.Policy == name })
	if i < 0 {
		t.Fatalf("nothing is said of the folder %s: %+v", name, report.Folders)
	}
	f := &report.Folders[i]
	got, again := make(map[string]Victim), 0
	for _, v := range f.Victims {
		if _, twice := got[v.Hash]; twice {
			t.Errorf("%s is removed twice", v.Hash)
		}
		got[v.Hash] = v
	}
	due := 0
	for i := range traces {
		x := &traces[i]
		v, removed := got[fmt.Sprintf("%016x", x.hash)]
		switch {
		case removed != x.victim:
			t.Errorf("the file %x, made %s and deleted %s: removed %v, want %v", x.hash, x.made, x.deleted, removed, x.victim)
		case removed && !v.Again.IsZero() != x.regret:
			t.Errorf("the file %x, removed %s: used again %s, want %v", x.hash, v.Time.Sub(monday), v.Again, x.regret)
		}
		if x.victim {
			due++
		}
		if x.regret {
			again++
		}
	}
	if int(f.Files) != due || int(f.Again) != again || f.Bytes != int64(1000*due) || f.Regret != float64(again)/float64(max(due, 1)) {
		t.Errorf("%d files, %d bytes, %d used again, regret %v; want %d and %d", f.Files, f.Bytes, f.Again, f.Regret, due, again)
	}
}

// Files of which it is known when they were made, read and deleted: which of them the policy would have removed, and which of
// those were read again within a day.
func TestRecordedFiles(t *testing.T) {
	r := record(t)
	r.live(monday.Add(-4*time.Hour), monday.Add(week), memory{"web": bumps(400), "api": bumps(400), "batch": bumps(400)}, map[string]float64{"web": 1000, "api": 1000, "batch": 1000})
	var traces []trace
	var want []expected
	for i := range 40 { // one every four hours: left for three, deleted at once, and a few that are read again
		made := time.Duration(i)*4*time.Hour + 7*time.Minute
		x := trace{hash: uint64(i + 1), made: made, deleted: made + 30*time.Minute}
		if i%2 == 0 {
			x.deleted, x.victim = made+3*time.Hour, true
			want = append(want, expected{made + time.Hour + 5*time.Minute, "web", "clean_temp", "warning", WouldHave, "", "relieved"})
		}
		switch i % 8 {
		case 0:
			x.opened, x.regret = []time.Duration{made + 2*time.Hour}, true
		case 2:
			x.opened = []time.Duration{made + 10*time.Minute} // before it would go
		case 4:
			x.deleted, x.opened = 0, []time.Duration{made + 40*time.Hour} // more than a day later
		}
		traces = append(traces, x)
	}
	r.note(folderlog.Folder("web", policy.KindTemp, "tts"), traces)
	report := r.play(weekFile, week)
	compare(t, report.Runs, want)
	victims(t, report, "tts", traces)
	if joined := strings.Join(report.Notes, "\n"); strings.Contains(joined, "SpillwayTempFilesExpired") || strings.Contains(joined, "Uploads") {
		t.Errorf("the notes are\n%s", joined)
	}
}

const cacheFile = `
mode: %s
targets:
  - name: web
    processes: {match: {comm: web}}
    caches: [{name: media, dir: /srv/web/media, include: ['*'], max_bytes: 10KB, evict_to: 50%%, size_by: apparent}]
`

// A cache of ten files of 1000 bytes: the eleventh makes the least recently used go, down to five.
func TestRecordedCache(t *testing.T) {
	r := record(t)
	r.live(monday.Add(-4*time.Hour), monday.Add(3*day), memory{"web": bumps(400)}, map[string]float64{"web": 1000})
	var traces []trace
	for i := range 11 {
		traces = append(traces, trace{hash: uint64(i + 1), made: day + time.Duration(i)*time.Hour, victim: i >= 2 && i < 8})
	}
	for i := range 2 { // the oldest two are read last
		traces[i].opened = []time.Duration{day + 10*time.Hour - time.Minute}
	}
	traces[3].opened, traces[3].regret = []time.Duration{day + 20*time.Hour}, true
	r.note(folderlog.Folder("web", policy.KindCache, "media"), traces)
	report := r.play(fmt.Sprintf(cacheFile, "enforce"), 3*day)
	compare(t, report.Runs, []expected{{day + 10*time.Hour, "web", "trim_cache", "warning", WouldHave, "", "relieved"}})
	victims(t, report, "media", traces)
}

// A dry run names the same files, each once, although it runs again and again.
func TestRecordedCacheDry(t *testing.T) {
	r := record(t)
	r.live(monday.Add(-4*time.Hour), monday.Add(3*day), memory{"web": bumps(400)}, map[string]float64{"web": 1000})
	var traces []trace
	for i := range 11 {
		traces = append(traces, trace{hash: uint64(i + 1), made: day + time.Duration(i)*time.Hour, victim: i < 6})
		if i < 6 {
			traces[i].deleted = day + 11*time.Hour
		}
	}
	r.note(folderlog.Folder("web", policy.KindCache, "media"), traces)
	report := r.play(fmt.Sprintf(cacheFile, "dry_run"), 2*day)
	victims(t, report, "media", traces)
	if n := len(report.Runs); n < 2 || report.Runs[0].Outcome != "dry_run" {
		t.Errorf("%d runs, %+v", n, report.Runs)
	}
}
