package collector

import (
	"context"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// The values of the label source of spillway_target_info.
const (
	infoConfig   = "config"
	infoDiscover = "discover"
)

// InfoTarget is one configured target.
type InfoTarget struct {
	Name, Mode string
	Processes  bool // it watches processes
}

// infoSource publishes what each target is.
type infoSource struct {
	targets []InfoTarget
	tracker *proc.Tracker
	usages  []proc.Usage
}

// NewInfoSource returns the source "info" of the configured targets and of those that discovery shows.
func NewInfoSource(targets []InfoTarget, tracker *proc.Tracker) Source {
	return &infoSource{targets: targets, tracker: tracker}
}

// Sample implements Source.
func (s *infoSource) Sample(_ context.Context, b *series.Batch) error {
	var first error
	for i := range s.targets {
		t := &s.targets[i]
		var u proc.Usage
		if t.Processes {
			var err error
			if u, err = s.tracker.Usage(t.Name); err != nil && first == nil {
				first = err
			}
		}
		setInfo(b, t.Name, t.Mode, infoConfig, &u)
	}
	var err error
	if s.usages, err = s.tracker.Discovered(s.usages[:0]); err != nil {
		return err
	}
	for i := range s.usages {
		if u := &s.usages[i]; u.Target != proc.Overflow && u.Processes > 0 {
			setInfo(b, u.Target, "", infoDiscover, u)
		}
	}
	return first
}

func setInfo(b *series.Batch, target, mode, source string, u *proc.Usage) {
	unit, container, pod, namespace := u.Unit, "", "", ""
	if c := u.Container; c != nil {
		container, pod, namespace = c.Name, c.Pod, c.Namespace
		if c.ID != "" && strings.Contains(unit, c.ID) { // the scope of the container, another with each start
			unit = ""
		}
	}
	b.Set(metric.TargetInfo, 1, target, mode, source, unit, container, pod, namespace)
}
