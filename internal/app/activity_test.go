package app

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/web"
)

func TestActivityOf(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	got := activityOf(dispatch.Status{
		Queued: 1, Draining: true,
		Open: []dispatch.OpenRun{{ID: "1", Target: "svc", Playbook: "trim_cache", Mode: dispatch.ModeDryRun, Trigger: "webhook", State: dispatch.StateQueued, WaitsFor: "clean_temp", Since: now}},
		Playbooks: []dispatch.PlaybookStatus{
			{Target: "svc", Playbook: "clean_temp", CooldownUntil: now, CooldownMode: dispatch.ModeEnforce, Broken: true, LastRun: "2", LastOutcome: "relieved", LastEnd: now},
			{Target: "svc", Playbook: "rotate_logs", LastRun: "4", LastOutcome: "waiting", LastEnd: now, WaitsUntil: now, WaitsRun: "4"},
			{Target: "svc", Playbook: "trim_cache", LastRun: "3", LastOutcome: "done", LastEnd: now}, // no cooldown holds
		},
	})
	want := web.Activity{
		Queued: 1, Draining: true,
		Runs:      []web.Run{{ID: "1", Target: "svc", Playbook: "trim_cache", Mode: "dry_run", Trigger: "webhook", State: "queued", WaitsFor: "clean_temp", Since: now}},
		Waits:     []web.Wait{{Target: "svc", Playbook: "rotate_logs", Until: now, Run: "4"}},
		Cooldowns: []web.Cooldown{{Target: "svc", Playbook: "clean_temp", Until: now, Mode: "enforce", Broken: true, LastRun: "2", LastOutcome: "relieved", LastEnd: now}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("activity (-want +got):\n%s", diff)
	}
}

// The page and the API of a running exporter show the cooldown of a run, here of a dry run.
func TestCooldownIsShown(t *testing.T) {
	dir := realDir(t)
	writeTest(t, dir+"/tmp/f.tmp", "x")
	a := startApp(t, "discover: {by: comm}\ntargets: [{name: svc, temp_dirs: [{name: t, dir: "+dir+"/tmp, include: ['*.tmp'], max_age: 1h}]}]\n")
	resp, err := http.Post(a.url("/api/v1/run"), "application/json", strings.NewReader(`{"target":"svc","playbook":"clean_temp"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("run: %s", resp.Status)
	}
	var got web.Activity
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); len(got.Cooldowns) == 0 && time.Now().Before(deadline); <-tick.C {
		_, body := fetch(t, a.url("/api/v1/runs?target=svc"))
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
	}
	if len(got.Cooldowns) != 1 || got.Cooldowns[0].Playbook != "clean_temp" || got.Cooldowns[0].Mode != "dry_run" || got.Cooldowns[0].LastOutcome != "dry_run" {
		t.Fatalf("activity %+v", got)
	}
	if _, page := fetch(t, a.url("/target/svc")); !strings.Contains(page, `id="h-cooldowns"`) || strings.Contains(page, `id="h-runs"`) {
		t.Error("the page does not show the cooldown, or a run that has ended")
	}
}
