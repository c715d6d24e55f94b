package app

import (
	"context"
	"fmt"
)

// explain says which target takes a process, and which refused it and why.
func explain(_ context.Context, o Options) error {
	cfg, err := loadConfig(&o)
	if err != nil {
		return err
	}
	tracker, err := newTracker(cfg, &o, newLogger(o.Stderr, o.LogLevel, o.LogFormat))
	if err != nil {
		return err
	}
	defer tracker.Close()
	e, err := tracker.Explain(o.PID)
	if err != nil {
		return err
	}
	w := o.Stdout
	fmt.Fprintf(w, "process  %d %s\nuser     %s\nexe      %s\ncmdline  %s\n", e.PID, quoteName(e.Comm), e.User, quoteName(e.Exe), quoteName(e.Cmdline))
	for _, r := range e.Refused {
		fmt.Fprintf(w, "not      %s: %s\n", r.Target, r.Reason)
	}
	target := e.Target
	if target == "" {
		target = "none"
	}
	fmt.Fprintf(w, "target   %s: %s\n", target, e.Reason)
	return nil
}
