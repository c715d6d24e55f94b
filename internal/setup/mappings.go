package setup

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// Mappings returns what the processes of a target have mapped; nil where it is not known.
func (e *Evidence) Mappings(target string) *evidence.Mappings { return e.mapped.Of(target) }

// Outside returns what grew of a target in its folders and mappings, as people are shown it.
func (e *Evidence) Outside(target string) evidence.Outside {
	return evidence.NewOutside(e.folders.Of(target), e.mapped.Of(target))
}

// lookAtMappings reads what the largest process of a target has mapped, each quarter of an hour. Like PSS it is read where
// memory.proportional asks for it, in any mode: nothing changes, and the process stalls for some milliseconds.
func (e *Evidence) lookAtMappings(t *config.Target, members []proc.Member) {
	if !t.Memory.Proportional || !t.Evidence.Enabled() || len(members) == 0 {
		return
	}
	now := e.opts.Now()
	e.mu.Lock()
	due := now.Sub(e.looked[t.Name]) >= evidenceRest
	if due {
		if e.looked == nil {
			e.looked = make(map[string]time.Time)
		}
		e.looked[t.Name] = now
	}
	e.mu.Unlock()
	if !due {
		return
	}
	redact, err := evidence.NewRedactor(t.Evidence.Redact)
	if err == nil {
		err = e.mapped.Look(e.opts.ProcFS, t.Name, members, now, redact)
	}
	if err != nil {
		e.opts.Logger.Debug("the mappings of a target are not known", "target", t.Name, "err", err)
	}
}
