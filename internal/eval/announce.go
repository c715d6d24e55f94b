package eval

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

// turn is an alert that began or ended.
type turn struct {
	rule   *rule
	active *active
	to     alert.Status
}

// line is what the log says of a turn.
type line struct {
	level slog.Level
	ends  bool
	attrs []any
}

// announced returns the lines of the log about all alerts that began or ended, in the order of their
// labels. mu is held.
func (e *Evaluator) announced(ctx context.Context, ev *evaluation) []line {
	slices.SortFunc(ev.turned, func(x, y turn) int {
		return cmp.Or(strings.Compare(x.rule.name, y.rule.name), strings.Compare(x.active.fingerprint, y.active.fingerprint))
	})
	out := make([]line, 0, len(ev.turned))
	for _, t := range ev.turned {
		t.rule.annotate(ctx, ev, t.active)
		out = append(out, t.line(ev.at))
	}
	return out
}

// line says who is concerned and, of an alert that begins, its summary. An end is not pressure:
// it has the level info.
func (t turn) line(at time.Time) line {
	a := t.active
	l := line{level: slog.LevelInfo, ends: t.to == alert.StatusResolved, attrs: []any{"alert", t.rule.name}}
	add := func(key, value string) {
		if value != "" {
			l.attrs = append(l.attrs, key, value)
		}
	}
	severity := a.labels.Get(alert.LabelSeverity)
	add("target", a.target)
	add("severity", severity)
	if l.ends {
		add("after", at.Sub(a.firedAt).Round(time.Second).String())
		return l
	}
	l.level = levelOf(severity)
	add("playbook", a.labels.Get(alert.LabelPlaybook))
	add("summary", a.annotations["summary"])
	return l
}

// levelOf is the level of the log at which people hear of a severity.
func levelOf(severity string) slog.Level {
	switch strings.ToLower(severity) {
	case "critical", "page", "error", "emergency":
		return slog.LevelError
	case "warning":
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

func (e *Evaluator) write(lines []line) {
	for _, l := range lines {
		if l.ends {
			e.o.Logger.Log(context.Background(), l.level, "alert resolved", l.attrs...)
		} else {
			e.o.Logger.Log(context.Background(), l.level, "alert fires", l.attrs...)
		}
	}
}
