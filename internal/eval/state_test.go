package eval

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRestart: alerts and their waiting survive, and are the same alerts.
func TestRestart(t *testing.T) {
	store := &blob{}
	start := func(hold string) *rig {
		return newRig(t, mustLoad(t, fmt.Sprintf(oneRule, hold, "0s")), func(o *Options) { o.State = store })
	}
	v := point{"v", []string{"target", "app"}, 11}

	g := start("20s")
	g.world.set(v)
	g.at(t, 0)
	g.at(t, 10*time.Second)
	if store.puts != 1 {
		t.Errorf("%d writes, want one for the new alert", store.puts)
	}

	// Stopped for five minutes after ten seconds of waiting. No one looked meanwhile, so what it
	// still has to wait is ten seconds.
	if err := g.save(epoch.Add(10*time.Second), true); err != nil {
		t.Fatal(err)
	}
	g = start("20s")
	g.world.set(v)
	g.at(t, 5*time.Minute)
	if got := g.states(); !slices.Equal(got, []string{"High pending"}) {
		t.Errorf("after a stop while pending: %v", got)
	}
	g.at(t, 5*time.Minute+9*time.Second)
	if got := g.states(); !slices.Equal(got, []string{"High pending"}) {
		t.Errorf("after 19s of waiting: %v", got)
	}
	g.at(t, 5*time.Minute+10*time.Second)
	first := g.Alerts()[0]
	if first.State != "firing" || !slices.Equal(g.inbox.take(), []string{"firing High"}) {
		t.Fatalf("alert = %+v", first)
	}
	key := g.groups[0].rules[0].sorted()[0].notification()

	// Stopped while firing: the same alert, sent again but with the same identity.
	g = start("20s")
	if got := g.Alerts(); len(got) != 1 || got[0].Annotations["summary"] != "v of app is 11" || float64(got[0].Value) != 11 {
		t.Errorf("before the first evaluation: %+v", got)
	}
	g.world.set(v)
	g.at(t, 8*time.Minute)
	again := g.groups[0].rules[0].sorted()[0].notification()
	if again.Key() != key.Key() {
		t.Errorf("key = %s, want %s", again.Key(), key.Key())
	}

	// Resolved while it was stopped.
	g = start("20s")
	g.at(t, 9*time.Minute)
	if got := g.inbox.take(); !slices.Equal(got, []string{"resolved High"}) {
		t.Errorf("sent %v, want resolved", got)
	}

	// A stop of more than an hour: nothing of before counts.
	g = start("20s")
	g.world.set(v)
	g.at(t, 9*time.Minute+2*time.Hour)
	if got := g.Alerts(); len(got) != 1 || got[0].State != "pending" || !got[0].ActiveAt.Equal(epoch.Add(9*time.Minute+2*time.Hour)) {
		t.Errorf("after a long stop: %+v", got)
	}
}

// TestRestartEdges: what a stop means for each kind of alert.
func TestRestartEdges(t *testing.T) {
	v := point{"v", []string{"target", "app"}, 11}
	f := func(name, keep string, before func(g *rig), stopped time.Duration, values []point, want ...string) {
		t.Helper()
		store := &blob{}
		start := func() *rig {
			return newRig(t, mustLoad(t, fmt.Sprintf(oneRule, "20s", keep)), func(o *Options) { o.State = store })
		}
		g := start()
		before(g)
		last := g.now
		if err := g.save(last, true); err != nil {
			t.Fatal(err)
		}
		g = start()
		data := string(store.data)
		if err := g.save(last.Add(stopped), true); err != nil || string(store.data) != data {
			t.Errorf("%s: stopped before the first evaluation: the state changed (%v)", name, err)
		}
		var got []string
		for i := range want {
			g.world.set(values...)
			g.at(t, last.Sub(epoch)+stopped+time.Duration(i)*10*time.Second)
			got = append(got, strings.Join(g.states(), ","))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	firing := func(g *rig) {
		g.world.set(v)
		for i := range 3 {
			g.at(t, time.Hour+time.Duration(i)*10*time.Second)
		}
	}
	pending := func(g *rig) {
		g.world.set(v)
		g.at(t, time.Hour)
		g.at(t, time.Hour+10*time.Second)
	}
	held := func(g *rig) {
		firing(g)
		g.world.set()
		g.at(t, time.Hour+30*time.Second)
	}
	f("firing, short", "0s", firing, time.Minute, []point{v}, "High firing")
	f("firing, long", "0s", firing, 2*time.Hour, []point{v}, "High pending", "High pending", "High firing")
	f("pending, clock set back", "0s", pending, -30*time.Minute, []point{v}, "High pending", "High firing")
	f("held by keep_firing_for", "20s", held, time.Minute, nil, "High firing", "High firing", "")
}

func TestStateIsWrittenOncePerMinuteWithoutNews(t *testing.T) {
	store := &blob{}
	g := newRig(t, mustLoad(t, fmt.Sprintf(oneRule, "0s", "0s")), func(o *Options) { o.State = store })
	for i := range 20 {
		g.at(t, time.Duration(i)*15*time.Second)
	}
	if store.puts != 0 {
		t.Errorf("%d writes with no alert, want none", store.puts)
	}
	g.world.set(point{"v", []string{"target", "app"}, math.Inf(1)})
	for i := range 20 {
		g.at(t, 5*time.Minute+time.Duration(i)*15*time.Second)
	}
	if store.puts != 5 {
		t.Errorf("%d writes in five minutes of one alert, want 5", store.puts)
	}
	if !strings.Contains(string(store.data), `"value":"+Inf"`) {
		t.Errorf("state = %s", store.data)
	}
}

func TestStateThatCannotBeWritten(t *testing.T) {
	store := &blob{err: errors.New("disk full")}
	g := newRig(t, mustLoad(t, fmt.Sprintf(oneRule, "0s", "0s")), func(o *Options) { o.State = store })
	g.world.set(point{"v", []string{"target", "app"}, 11})
	g.now = epoch
	if err := g.Evaluate(t.Context(), g.now); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("error = %v", err)
	}
	if got := g.inbox.take(); !slices.Equal(got, []string{"firing High"}) {
		t.Errorf("sent %v: a state that cannot be written keeps no one from acting", got)
	}
	store.err = nil
	g.at(t, 10*time.Second)
	if store.puts != 1 {
		t.Errorf("%d writes, want one as soon as it works", store.puts)
	}
}

func TestBadState(t *testing.T) {
	f := func(name, text, want string) {
		t.Helper()
		if _, err := decodeState([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error = %v, want %q", name, err, want)
		}
		g := newRig(t, mustLoad(t, fmt.Sprintf(oneRule, "0s", "0s")), func(o *Options) { o.State = &blob{data: []byte(text)} })
		g.at(t, 0)
		if got := g.Alerts(); len(got) != 0 {
			t.Errorf("%s: alerts %+v", name, got)
		}
	}
	f("not JSON", `{`, "decode evaluator state")
	f("version", `{"version":2}`, "version 2")
	f("state", `{"version":1,"alerts":[{"state":"odd"}]}`, `unknown state "odd"`)
	f("name", `{"version":1,"alerts":[{"state":"firing"}]}`, "has no name")
	f("time", `{"version":1,"alerts":[{"state":"firing","labels":{"alertname":"A"},"active_at":"2024-01-01T00:00:00Z"}]}`, "lacks a time")
	f("value", `{"version":1,"alerts":[{"state":"firing","value":"much"}]}`, "not a number")
}

func FuzzState(f *testing.F) {
	store := &blob{}
	g := newRig(f, mustLoad(f, fmt.Sprintf(oneRule, "20s", "1m")), func(o *Options) { o.State = store })
	g.world.set(point{"v", []string{"target", "app"}, 11})
	g.at(f, 0)
	g.at(f, 30*time.Second)
	f.Add(store.data)
	f.Add([]byte(`{"version":1,"alerts":[]}`))
	rules := g.rules
	f.Fuzz(func(t *testing.T, data []byte) {
		g := newRig(t, rules, func(o *Options) { o.State = &blob{data: data} })
		g.world.set(point{"v", []string{"target", "app"}, 11})
		g.at(t, time.Minute)
		for _, a := range g.Alerts() {
			if _, err := json.Marshal(a); err != nil && !strings.Contains(err.Error(), "year outside") {
				t.Fatalf("alert %+v: %v", a, err)
			}
		}
		_ = g.save(epoch.Add(2*time.Minute), true)
	})
}
