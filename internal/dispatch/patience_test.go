package dispatch

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// folder is a directory of files whose times are those of the bubble.
type folder struct {
	t   *testing.T
	dir string
	n   int
}

func newFolder(t *testing.T) *folder {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &folder{t: t, dir: dir}
}

// put writes files of a size that are as old as an age.
func (f *folder) put(n, size int, age time.Duration) {
	f.t.Helper()
	at := time.Now().Add(-age)
	for range n {
		f.n++
		path := filepath.Join(f.dir, fmt.Sprintf("%04d.tmp", f.n))
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			f.t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			f.t.Fatal(err)
		}
	}
}

// count returns how many files there are and their size.
func (f *folder) count() (files, bytes int64) {
	f.t.Helper()
	err := filepath.WalkDir(f.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files, bytes = files+1, bytes+info.Size()
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return files, bytes
}

func (f *folder) common() policy.Common {
	return policy.Common{Name: "p", Dir: f.dir, Include: []string{"*.tmp"}, AgeBy: policy.AgeMtime, SizeBy: policy.SizeApparent}
}

// watched makes the observer count a folder whenever it takes a sample.
func (w *world) watched(s Subject, ratio func() float64) {
	w.observer.refresh = func(o *fakeObserver, target string, sub Subject) {
		r := o.readings[target+"/"+string(sub)]
		if sub == s {
			r.Known, r.Ratio, r.Level, r.Text = true, ratio(), 0, "a folder"
			if r.Ratio > 1 {
				r.Level = warning
			}
		}
		r.Samples++
		o.readings[target+"/"+string(sub)] = r
	}
	w.observer.Refresh("svc", s)
}

func (w *world) dirOptions() action.DirOptions {
	return action.DirOptions{Target: "svc", Logger: slog.New(slog.DiscardHandler), Now: time.Now}
}

// outcomes returns how the runs of svc ended, the oldest first.
func (w *world) outcomes() []string {
	w.t.Helper()
	var out []string
	for _, r := range slices.Backward(w.records(journal.Filter{})) {
		if r.Step == 0 {
			out = append(out, r.Outcome)
		}
	}
	return out
}

// repeat submits an alert as the embedded evaluator does: at once, and each 75 seconds.
func (w *world) repeat(a alert.Alert, until time.Duration, still func() bool) {
	w.t.Helper()
	for begin := time.Now(); time.Since(begin) < until; <-time.After(75 * time.Second) {
		if !still() {
			a.Status = alert.StatusResolved
		}
		if _, err := w.d.Submit(w.t.Context(), alert.Batch{Trigger: alert.TriggerStandalone, Alerts: []alert.Alert{a}}); err != nil {
			w.t.Error(err)
		}
		if a.Status == alert.StatusResolved {
			return
		}
	}
}

// 150 files come at once into a folder for 60: the run at the crossing finds all of them too young,
// and the folder is within its limit as soon as they are not.
func TestBurstOfYoungFiles(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		const limit = 60
		f := newFolder(t)
		files := func() int64 { n, _ := f.count(); return n }
		w.watched(subject.Temp, func() float64 { return float64(files()) / limit })
		target := w.target("svc", ModeEnforce, nil)
		target.Actions[action.NameCleanTemp] = action.NewDirs(w.dirOptions(), policy.KindTemp, &policy.Folders{TempDirs: []policy.Temp{{Common: f.common(), MaxFiles: limit}}})
		w.targets["svc"] = target
		w.d.Apply(w.targets)

		f.put(80, 10, 0)
		w.observer.Refresh("svc", subject.Temp)
		go w.repeat(w.firing("svc", "clean_temp", warning), 10*time.Minute, func() bool { return files() > limit })
		<-time.After(500 * time.Millisecond) // the run at the crossing has looked
		f.put(70, 10, 0)
		came := time.Now()
		for files() > limit && time.Since(came) < 15*time.Minute {
			<-time.After(100 * time.Millisecond)
		}
		if took := time.Since(came); took > 62*time.Second {
			t.Errorf("the folder was within its limit after %s, want min_age and 2 s at most", took)
		}
		w.finished()
		for _, o := range w.outcomes() {
			if o == OutcomeIneffective {
				t.Errorf("outcomes %q: files that are only too young make no run ineffective", w.outcomes())
			}
		}
		<-time.After(15 * time.Minute)
		w.settled()
	})
}

// A cache at 260 % of its limit all of whose files were too young when the alert came.
func TestCacheOfYoungFiles(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		const limit = 100_000
		f := newFolder(t)
		size := func() int64 { _, n := f.count(); return n }
		w.watched(subject.Cache, func() float64 { return float64(size()) / limit })
		target := w.target("svc", ModeEnforce, nil)
		target.Actions[action.NameEvictCache] = action.NewDirs(w.dirOptions(), policy.KindCache, &policy.Folders{Caches: []policy.Cache{{Common: f.common(), LRUBy: policy.AgeMtime, MaxBytes: limit}}})
		w.targets["svc"] = target
		w.d.Apply(w.targets)
		f.put(26, 10_000, 5*time.Second)
		w.observer.Refresh("svc", subject.Cache)
		begin := time.Now()
		go w.repeat(w.firing("svc", "trim_cache", warning), 10*time.Minute, func() bool { return size() > limit })
		for size() > limit && time.Since(begin) < 15*time.Minute {
			<-time.After(100 * time.Millisecond)
		}
		if took := time.Since(begin); took > 57*time.Second {
			t.Errorf("the cache was within its limit after %s, want 55 s and 2 more at most", took)
		}
		w.finished()
		if diff := cmp.Diff([]string{"waiting", OutcomeRelieved}, w.outcomes()); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
		<-time.After(15 * time.Minute)
		w.settled()
	})
}

// Another run has done the work: this one found nothing to do, and takes no credit.
func TestNothingToDoIsNotRelief(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.watched(subject.Cache, func() float64 { return .70 })
		w.cache.do = nothingToDo
		d := w.one(w.firing("svc", "trim_cache", warning))
		w.finished()
		if r := w.run(d.RunID); r.Outcome != "nothing_to_do" {
			t.Errorf("the run is %+v, want nothing_to_do", r)
		}
	})
}

// A cooldown shorter than the repetition of the alert is kept as written.
func TestShortCooldown(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.targets["svc"] = w.target("svc", ModeEnforce, Playbooks{"mine": {{Do: action.NameHTTP, Cooldown: units.Duration(20 * time.Second)}}})
		target := w.targets["svc"]
		var began []time.Duration
		begin := time.Now()
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			began = append(began, time.Since(begin))
			w.observer.set("svc", subject.Memory, .60) // it helps, for a moment
			time.AfterFunc(5*time.Second, func() { w.observer.set("svc", subject.Memory, .90) })
			return action.Result{Outcome: action.Done, Files: 1}, nil
		}
		target.Playbooks["relieve_memory"] = Playbook{Name: "relieve_memory", Subject: subject.Memory, Cooldown: 20 * time.Second, Steps: []Step{{
			Do: action.NameCleanTemp, Timeout: units.Duration(time.Minute), Verify: Verify{After: 2, Below: warning},
		}}}
		w.targets["svc"] = target
		w.d.Apply(w.targets)
		a := w.firing("svc", "relieve_memory", critical)
		over := false
		w.repeat(a, 140*time.Second, func() bool { return !over })
		<-time.After(5 * time.Second)
		a.Status = alert.StatusResolved
		if _, err := w.d.Submit(t.Context(), alert.Batch{Trigger: alert.TriggerStandalone, Alerts: []alert.Alert{a}}); err != nil {
			t.Fatal(err)
		}
		n := len(began)
		<-time.After(10 * time.Minute)
		w.finished()
		if n < 7 || len(began) != n {
			t.Fatalf("runs began at %s, want one about each 20 s while the alert fires and none after", began)
		}
		for i := range n - 1 {
			if gap := began[i+1] - began[i]; gap < 20*time.Second || gap > 21*time.Second {
				t.Errorf("runs began at %s, want about 20 s between two", began)
				break
			}
		}
	})
}

// A service that gives its memory back within 13 s of a collection was relieved by it.
func TestVerificationFollowsTheSeries(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.targets["svc"] = w.target("svc", ModeEnforce, Playbooks{"relieve_memory": {{Do: action.NameCollectGarbage}}})
		w.d.Apply(w.targets)
		w.gc.do = func(context.Context, action.Request) (action.Result, error) {
			for s := range 13 {
				time.AfterFunc(time.Duration(s+1)*time.Second, func() { w.observer.set("svc", subject.Memory, .90-float64(s+1)*.021) })
			}
			return action.Result{Outcome: action.Done}, nil
		}
		d := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		if r := w.run(d.RunID); r.Outcome != OutcomeRelieved {
			t.Errorf("the run is %+v, want relieved", r)
		}
	})
}

// A scheduled run that finds nothing to do is counted and leaves no record.
func TestScheduledRunThatRemovesNothing(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		schedule := func() {
			t.Helper()
			req := ManualRequest{Target: "svc", Action: action.NameCleanTemp, Only: "p", Trigger: alert.TriggerSchedule}
			if _, err := w.d.RunNow(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			w.finished()
		}
		f := newFolder(t)
		clean := action.NewDirs(w.dirOptions(), policy.KindTemp, &policy.Folders{TempDirs: []policy.Temp{{Common: f.common(), MaxAge: units.Duration(time.Hour)}}})
		w.temp.do = clean.Run
		f.put(3, 10, time.Minute)
		schedule()
		schedule()
		if records := w.records(journal.Filter{}); len(records) != 0 {
			t.Errorf("%d records of runs that removed nothing: %+v", len(records), records)
		}
		if got := w.counter("spillway_playbook_runs_total", map[string]string{"playbook": action.NameCleanTemp, "trigger": "schedule", "outcome": "nothing_to_do"}); got != 2 {
			t.Errorf("%v runs that found nothing to do were counted, want 2", got)
		}
		f.put(2, 10, 2*time.Hour)
		schedule()
		if files, _ := f.count(); files != 3 {
			t.Errorf("%d files, want the 2 old ones removed", files)
		}
		records := w.records(journal.Filter{})
		if len(records) != 2 || records[0].Files != 2 || records[1].Outcome != "done" {
			t.Errorf("the run is %+v, want a run and a step with 2 files", records)
		}
	})
}

// A scheduled run that can remove nothing although the folder is over its limit says so: it waits where that
// changes by itself, and is partial where it does not.
func TestScheduledRunOverTheLimit(t *testing.T) {
	for outcome, links := range map[string]bool{OutcomeWaiting: false, string(action.Partial): true} {
		bubble(t, Options{}, func(t *testing.T, w *world) {
			f := newFolder(t)
			p := policy.Temp{Common: f.common(), MaxFiles: 1}
			p.MinAge = new(units.Duration(time.Minute))
			clean := action.NewDirs(w.dirOptions(), policy.KindTemp, &policy.Folders{TempDirs: []policy.Temp{p}})
			w.temp.do = clean.Run
			if !links {
				f.put(3, 10, 0)
			} else {
				f.put(3, 10, time.Hour)
				away := t.TempDir()
				for i := range 3 {
					name := fmt.Sprintf("%04d.tmp", i+1)
					if err := os.Link(filepath.Join(f.dir, name), filepath.Join(away, name)); err != nil {
						t.Fatal(err)
					}
				}
			}
			req := ManualRequest{Target: "svc", Action: action.NameCleanTemp, Only: "p", Trigger: alert.TriggerSchedule}
			if _, err := w.d.RunNow(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			w.finished()
			if got := w.counter("spillway_playbook_runs_total", map[string]string{"trigger": "schedule", "outcome": outcome}); got != 1 {
				t.Errorf("%v runs are %s, want one", got, outcome)
			}
		})
	}
}
