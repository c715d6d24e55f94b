package app

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// explain says which target takes a process, and which refused it and why.
func explain(_ context.Context, o Options) error {
	cfg, err := loadConfig(&o)
	if err != nil {
		return err
	}
	tracker, err := newTracker(cfg, &o, newCgroups(&o), newLogger(o.Stderr, o.LogLevel, o.LogFormat))
	if err != nil {
		return err
	}
	defer tracker.Close()
	e, err := tracker.Explain(o.PID)
	if err != nil {
		return err
	}
	if o.JSON {
		enc := json.NewEncoder(o.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(newExplanation(&e))
	}
	w := o.Stdout
	fmt.Fprintf(w, "process  %d %s\nuser     %s\nexe      %s\ncmdline  %s\n", e.PID, quoteName(e.Comm), e.User, quoteName(e.Exe), quoteName(e.Cmdline))
	if c := e.Container; c != nil {
		fmt.Fprintf(w, "container %s", c.Path())
		if c.Image != "" {
			fmt.Fprintf(w, ", image %s", c.Image)
		}
		fmt.Fprintln(w)
	}
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

// explanation is what explain --json prints. The target is null where none takes the process.
type explanation struct {
	PID       int       `json:"pid"`
	Comm      string    `json:"comm"`
	User      string    `json:"user"`
	Exe       string    `json:"exe,omitempty"`
	Cmdline   string    `json:"cmdline"`
	Container string    `json:"container,omitempty"`
	Pod       string    `json:"pod,omitempty"`
	Namespace string    `json:"namespace,omitempty"`
	Image     string    `json:"image,omitempty"`
	Target    *string   `json:"target"`
	Reason    string    `json:"reason"`
	Refused   []refusal `json:"refused"`
}

type refusal struct {
	Target string `json:"target"`
	Reason string `json:"reason"`
}

func newExplanation(e *proc.Explanation) explanation {
	out := explanation{PID: e.PID, Comm: e.Comm, User: e.User, Exe: e.Exe, Cmdline: e.Cmdline, Reason: e.Reason, Refused: []refusal{}}
	if c := e.Container; c != nil {
		out.Container, out.Pod, out.Namespace, out.Image = c.Name, c.Pod, c.Namespace, c.Image
	}
	if e.Target != "" {
		out.Target = &e.Target
	}
	for _, r := range e.Refused {
		out.Refused = append(out.Refused, refusal(r))
	}
	return out
}
