package action

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

// SignalSettings are what a step gives the action signal.
type SignalSettings struct {
	Signal string `yaml:"signal"` // its name, such as SIGUSR2
	All    bool   `yaml:"all"`    // every matched process, not only the oldest
}

// String implements Settings.
func (s *SignalSettings) String() string {
	whom := "the oldest process"
	if s.All {
		whom = "all processes"
	}
	return fmt.Sprintf("signal %s to %s", s.Signal, whom)
}

// Validate implements Settings.
func (s *SignalSettings) Validate(report report.Func) {
	if s.Signal == "" {
		report("signal", "is missing: write the signal that the program handles, such as SIGUSR2")
		return
	}
	if _, err := proc.SignalNumber(s.Signal); err != nil {
		report("signal", "%s", err)
	}
}

// SignalOptions configure a Signal. Members and Logger are required.
type SignalOptions struct {
	Members func() []proc.Member // of the target, at present
	Logger  *slog.Logger
}

// Signal sends a signal that the target handles to its processes. It cannot end a process by a
// default action: a signal without a handler is not sent.
type Signal struct{ opts SignalOptions }

// NewSignal returns the action.
func NewSignal(o SignalOptions) *Signal { return &Signal{o} }

// Run implements Action. Whom it is sent to is decided when it runs: the processes that the
// target's match takes, not their children; of these the oldest unless the step says all. Done
// says that the signal was delivered to all of them, not what they made of it.
func (a *Signal) Run(ctx context.Context, req Request) (Result, error) {
	settings, ok := req.Settings.(*SignalSettings)
	if !ok {
		return Result{Outcome: Failed}, fmt.Errorf("signal: %w: write signal in the step", ErrNotConfigured)
	}
	name := settings.Signal
	number, err := proc.SignalNumber(name)
	if err != nil {
		return Result{Outcome: Failed}, fmt.Errorf("signal: %w", err)
	}
	whom := recipients(a.opts.Members(), settings.All)
	if len(whom) == 0 {
		return Result{Outcome: Failed}, errors.New("signal: the target has no process now")
	}
	res := Result{Outcome: Done, Skipped: make(map[string]int64)}
	sent := 0
	var errs []error
	for _, m := range whom {
		if err := ctx.Err(); err != nil {
			errs = append(errs, err)
			break
		}
		if err := signalOne(m, name, number, req.DryRun); err != nil {
			res.Skipped[skipReason(err)]++
			errs = append(errs, err)
			continue
		}
		sent++
		if !req.DryRun {
			a.opts.Logger.Info("signalled a process", "target", req.Target, "run", req.RunID, "pid", m.PID, "name", m.Name, "signal", name)
		}
	}
	verb := "sent"
	switch {
	case sent == 0:
		res.Outcome = Failed
	case req.DryRun:
		res.Outcome, verb = DryRun, "would send"
	case len(errs) > 0:
		res.Outcome = Partial
	}
	res.Detail = fmt.Sprintf("%s %s to %d of %d processes", verb, name, sent, len(whom))
	if err := errors.Join(errs...); err != nil {
		return res, fmt.Errorf("signal: %w", err)
	}
	return res, nil
}

func signalOne(m proc.Member, name string, number int, dryRun bool) error {
	h, err := proc.Hold(m)
	if err != nil {
		return err
	}
	defer h.Close()
	if !dryRun {
		return h.Signal(name)
	}
	handled, err := h.Handles(number)
	if err == nil && !handled {
		err = fmt.Errorf("process %d (%s): %w %s", m.PID, h.Exe(), proc.ErrNotHandled, name)
	}
	return err
}

func skipReason(err error) string {
	switch {
	case errors.Is(err, proc.ErrNotHandled):
		return "not_handled"
	case errors.Is(err, proc.ErrChanged):
		return "changed"
	}
	return "error"
}

// recipients are the matched processes, or the oldest of them.
func recipients(members []proc.Member, all bool) []proc.Member {
	var out []proc.Member
	for _, m := range members {
		switch {
		case m.Child:
		case all || len(out) == 0:
			out = append(out, m)
		case m.Start.Before(out[0].Start):
			out[0] = m
		}
	}
	return out
}
