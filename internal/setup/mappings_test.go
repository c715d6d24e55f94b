package setup

import (
	"os"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// TestMappingsAreOptIn: they are read where PSS is, each quarter of an hour, and not with evidence: off.
func TestMappingsAreOptIn(t *testing.T) {
	for text, want := range map[string]bool{
		"{name: t, processes: {match: {comm: node}}}":                                              false,
		"{name: t, processes: {match: {comm: node}}, memory: {proportional: true}}":                true,
		"{name: t, processes: {match: {comm: node}}, memory: {proportional: true}, evidence: off}": false,
	} {
		now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
		w := newEvidenceWorld(t, text)
		e := w.Evidence
		e.opts.Now = func() time.Time { return now }
		members := []proc.Member{{PID: os.Getpid(), Resident: 1}}
		at := func(minutes int) time.Time {
			now = now.Add(time.Duration(minutes) * time.Minute)
			e.lookAtMappings(w.target(), members)
			if m := e.Mappings("t"); m != nil {
				return m.Newest.Time
			}
			return time.Time{}
		}
		first := at(0)
		if got := !first.IsZero(); got != want {
			t.Errorf("%s: read %v, want %v", text, got, want)
		}
		if !want {
			continue
		}
		if again := at(14); !again.Equal(first) {
			t.Errorf("%s: read again after 14 minutes", text)
		}
		if again := at(1); !again.Equal(first.Add(15 * time.Minute)) {
			t.Errorf("%s: read at %s, want a quarter of an hour after %s", text, again, first)
		}
	}
}
