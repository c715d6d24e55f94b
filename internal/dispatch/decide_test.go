package dispatch

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

func TestDecide(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	base := func() question {
		return question{
			alert: &alert.Alert{Status: alert.StatusFiring, Labels: map[string]string{
				alert.LabelInstance: "web-1:10042", alert.LabelTarget: "svc", alert.LabelPlaybook: "relieve_memory",
			}},
			id: &identity{known: []string{"web-1:10042"}, former: []string{"web-0:10042"}}, hasTarget: true, hasPlaybook: true, applies: true, now: now, level: series.LevelCritical,
			targets:   func() []string { return []string{"db", "svc"} },
			playbooks: func() []string { return []string{"clean_temp", "relieve_memory"} },
		}
	}
	label := func(name, value string) func(*question) {
		return func(q *question) { q.alert.Labels[name] = value }
	}
	held := func(q *question) { q.until = now.Add(time.Minute) }
	emergency := func(q *question) { q.level = series.LevelEmergency }
	tests := []struct {
		name              string
		change            []func(*question)
		disposition, skip string
		says              string
		join, breaks      bool
	}{
		{name: "accepted", disposition: alert.Accepted, says: "recorded"},
		{name: "another instance", change: []func(*question){label("instance", "web-2:10042")}, disposition: alert.NotOurs, skip: SkipNotOurs, says: `"web-2:10042" is not this exporter (it is web-1:10042)`},
		{name: "another instance, no name learned", change: []func(*question){func(q *question) { q.id = &identity{none: true} }}, disposition: alert.Refused, skip: SkipInstance, says: "not learned its name yet: write instance:"},
		{name: "an instance that was ours", change: []func(*question){label("instance", "WEB-0:10042")}, disposition: alert.Refused, skip: SkipInstance, says: "is not now: write instance:"},
		{name: "our instance in other letters", change: []func(*question){label("instance", "WEB-1:10042")}, disposition: alert.Accepted},
		{name: "no instance", change: []func(*question){label("instance", "")}, disposition: alert.Accepted},
		{name: "from inside", change: []func(*question){label("instance", "x"), func(q *question) { q.inside = true }}, disposition: alert.Accepted},
		{name: "unknown target", change: []func(*question){label("target", "nobody"), func(q *question) { q.hasTarget = false }}, disposition: alert.NotOurs, skip: SkipNotOurs, says: `"nobody" is not configured here: write one of db, svc`},
		{name: "no target", change: []func(*question){label("target", ""), func(q *question) { q.hasTarget = false }}, disposition: alert.NotOurs, skip: SkipNotOurs, says: "no target label: write one of db, svc"},
		{name: "no playbook", change: []func(*question){label("playbook", "")}, disposition: alert.NoPlaybook, skip: SkipNoPlaybook, says: "no playbook label"},
		{name: "unknown playbook", change: []func(*question){label("playbook", "format_disk"), func(q *question) { q.hasPlaybook = false }}, disposition: alert.NoPlaybook, skip: SkipNoPlaybook, says: "write one of clean_temp, relieve_memory"},
		{name: "no data in Grafana", change: []func(*question){label("alertname", "DatasourceNoData"), label("rulename", "R")}, disposition: alert.NoPlaybook, skip: SkipNoPlaybook, says: `no data for the rule "R"`},
		{name: "paused", change: []func(*question){func(q *question) { q.pause = &Pause{Reason: "a release"} }}, disposition: alert.Paused, skip: SkipPaused, says: "paused all targets until someone resumes: a release"},
		{name: "window", change: []func(*question){emergency, func(q *question) { q.closed = "night" }}, disposition: alert.Closed, skip: SkipWindow, says: `only while the window "night" is open`},
		{name: "budget", change: []func(*question){emergency, func(q *question) { q.spent, q.budget = true, Budget{3, 3600e9} }}, disposition: alert.NeedsHuman, skip: SkipBudget, says: "acted 3 times in the last 1h"},
		{name: "resolved", change: []func(*question){func(q *question) { q.alert.Status = alert.StatusResolved }}, disposition: alert.Resolved, says: "nothing left to do"},
		{name: "resolved while its run is open", change: []func(*question){func(q *question) { q.alert.Status, q.open, q.served = alert.StatusResolved, true, true }}, disposition: alert.Resolved},
		{name: "the same while its run is open", change: []func(*question){func(q *question) { q.open, q.served = true, true }}, disposition: alert.Duplicate, skip: SkipDuplicate, join: true},
		{name: "another while the run is open", change: []func(*question){func(q *question) { q.open = true }}, disposition: alert.Accepted, join: true},
		{name: "another while the run is open and the queue full", change: []func(*question){func(q *question) { q.open, q.full = true, true }}, disposition: alert.Accepted, join: true},
		{name: "the same while its cooldown holds", change: []func(*question){held, func(q *question) { q.served = true }}, disposition: alert.Duplicate, skip: SkipDuplicate, says: "2026-11-23T10:01:00Z"},
		{name: "the same emergency while its cooldown holds", change: []func(*question){held, emergency, func(q *question) { q.served = true }}, disposition: alert.Duplicate, skip: SkipDuplicate},
		{name: "the same after its cooldown", change: []func(*question){func(q *question) { q.served, q.until = true, now }}, disposition: alert.Accepted},
		{name: "another while the cooldown holds", change: []func(*question){held}, disposition: alert.Cooldown, skip: SkipCooldown, says: "2026-11-23T10:01:00Z"},
		{name: "an emergency breaks the cooldown", change: []func(*question){held, emergency}, disposition: alert.Accepted, breaks: true, says: "once"},
		{name: "once only", change: []func(*question){held, emergency, func(q *question) { q.broken = true }}, disposition: alert.Cooldown, skip: SkipCooldown, says: "once already"},
		{name: "no step for the level", change: []func(*question){func(q *question) { q.applies = false }}, disposition: alert.NoPlaybook, skip: SkipLevel, says: "no step of relieve_memory applies at level critical"},
		{name: "no step for the level while a run is open", change: []func(*question){func(q *question) { q.applies, q.open = false, true }}, disposition: alert.Accepted, join: true},
		{name: "queue full", change: []func(*question){func(q *question) { q.full = true }}, disposition: alert.Refused, skip: SkipQueueFull, says: "retry later"},
		{name: "draining", change: []func(*question){func(q *question) { q.draining = true }}, disposition: alert.Refused, skip: SkipDraining, says: "retry later"},
		{name: "draining with a run open", change: []func(*question){func(q *question) { q.draining, q.open, q.served = true, true, true }}, disposition: alert.Refused, skip: SkipDraining},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := base()
			for _, f := range tt.change {
				f(&q)
			}
			v := decide(q)
			if v.disposition != tt.disposition || v.skip != tt.skip || v.join != tt.join || v.breaks != tt.breaks || !strings.Contains(v.reason, tt.says) {
				t.Errorf("got %+v", v)
			}
			if v.reason == "" {
				t.Error("no reason is given")
			}
		})
	}
}

func TestLevelOf(t *testing.T) {
	f := func(level, severity string, want series.Level) {
		t.Helper()
		a := &alert.Alert{Labels: map[string]string{alert.LabelLevel: level, alert.LabelSeverity: severity}}
		if got := levelOf(a); got != want {
			t.Errorf("level %q, severity %q: %s, want %s", level, severity, got, want)
		}
	}
	f("emergency", "warning", series.LevelEmergency)
	f("", "critical", series.LevelCritical)
	f("", "warning", series.LevelWarning)
	f("high", "", series.LevelWarning)
}

func TestFalling(t *testing.T) {
	f := func(s Subject, ratio, peak float64, level series.Level, want bool) {
		t.Helper()
		if got := falling(s, Reading{Known: true, Ratio: ratio, Peak: peak, Level: level}); got != want {
			t.Errorf("%s %v of a peak of %v at %s: %v, want %v", s, ratio, peak, level, got, want)
		}
	}
	f(subject.Memory, .76, .90, series.LevelWarning, true)
	f(subject.Memory, .77, .90, series.LevelWarning, false) // 85 % of the peak is 0.765
	f(subject.Heap, .60, .90, series.LevelNormal, true)
	f(subject.Memory, .86, 1.2, series.LevelCritical, false) // critical is never left alone
	f(subject.Cache, .50, 1, series.LevelNormal, false)      // a folder does not empty itself
	f(subject.Temp, .50, 1, series.LevelNormal, false)
	if falling(subject.Memory, Reading{Known: true, Ratio: .72, Peak: .9, Level: series.LevelWarning, Rising: true}) {
		t.Error("what rises fast is falling because it was higher once")
	}
	if falling(subject.Memory, Reading{Peak: 1}) {
		t.Error("a reading that failed is falling")
	}
}

func TestSkipStep(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	s := Step{Do: action.NameEvictCache, When: []series.Level{series.LevelCritical, series.LevelEmergency}}
	f := func(level series.Level, until time.Time, want string) {
		t.Helper()
		reason, text := skipStep(s, level, until, now)
		if reason != want || (text == "") != (want == "") {
			t.Errorf("level %s, until %s: %q, %q, want %q", level, until, reason, text, want)
		}
	}
	f(series.LevelCritical, time.Time{}, "")
	f(series.LevelWarning, time.Time{}, SkipLevel)
	f(series.LevelCritical, now.Add(time.Second), SkipCooldown)
	f(series.LevelCritical, now, "")
}

func TestNextCooldown(t *testing.T) {
	const m = time.Minute
	f := func(base, last time.Duration, outcome string, want time.Duration) {
		t.Helper()
		if got := nextCooldown(base, last, outcome); got != want {
			t.Errorf("base %s, last %s, %s: %s, want %s", base, last, outcome, got, want)
		}
	}
	f(5*m, 0, OutcomeRelieved, 5*m)
	f(5*m, 0, OutcomeIneffective, 10*m)
	f(5*m, 10*m, OutcomeIneffective, 20*m)
	f(5*m, 40*m, OutcomeIneffective, 60*m)
	f(5*m, 60*m, OutcomeIneffective, 60*m)
	f(5*m, 60*m, OutcomeRelieved, 5*m)
	f(120*m, 0, OutcomeIneffective, 120*m) // longer than the doubling goes
	f(5*m, 0, OutcomeFalling, 5*m)
	f(5*m, 0, "dry_run", 5*m)
}

func TestList(t *testing.T) {
	var names []string
	for i := range 12 {
		names = append(names, fmt.Sprint(i))
	}
	f := func(n int, want string) {
		t.Helper()
		if got := list(names[:n]); got != want {
			t.Errorf("%d names: %q, want %q", n, got, want)
		}
	}
	f(0, "those of the configuration: there are none yet")
	f(2, "0, 1")
	f(12, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more")
}
