package replay

import (
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/history"
)

const probeFile = `
mode: enforce
targets:
  - name: web
    processes: {match: {comm: web}}
    probe: {url: 'http://127.0.0.1:1/', max_startup: 10m}
    temp_dirs: [{name: tts, dir: /srv/web/tts, include: ['*.wav'], max_age: 1h}]
    playbooks: {restore: [clean_temp]}
`

// A probe presses when it is 0. One that fails within the time that the service has to start does not, one that fails for a
// part of five minutes may have for long enough, and the remedy is the playbook that the alert names by a template.
func TestRecordedProbe(t *testing.T) {
	r := record(t)
	fails, starts, flaps := 5*time.Hour, 10*time.Hour, 15*time.Hour
	for after := -3 * time.Hour; after < day; after += history.Step {
		lowest, highest := 1.0, 1.0
		var marks []history.Mark
		switch {
		case after >= fails && after < fails+2*history.Step:
			lowest, highest = 0, 0
		case after == starts:
			lowest, highest = 0, 0
			marks = []history.Mark{{Target: "web", Time: monday.Add(starts)}}
		case after == flaps:
			lowest = 0
		}
		if err := r.history.Append(monday.Add(after), []history.Sample{{Target: "web", Gauge: "spillway_probe_success", Min: lowest, Mean: lowest, Max: highest}}, marks); err != nil {
			t.Fatal(err)
		}
	}
	compare(t, r.play(probeFile, day).Runs, []expected{
		{fails + time.Minute, "web", "restore", "critical", WouldHave, "", "done"},
		{fails + 6*time.Minute, "web", "restore", "critical", WouldHave, "", "done"},
		{flaps + time.Minute, "web", "restore", "critical", MayHave, "", "done"},
	})
}
