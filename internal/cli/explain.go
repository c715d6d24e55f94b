package cli

import (
	"context"
	"fmt"

	"github.com/alecthomas/kingpin/v2"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

var explainCommand = command{
	name: "explain",
	help: usage{
		summary: "Say which target a process belongs to, and why.",
		effects: "none. It reads about this one process and its ancestors.",
		examples: [][2]string{
			{"spillway_exporter explain 4711 --config.file=spillway.yml", "which condition held, and which did not"},
			{"spillway_exporter explain $(pgrep -n node) --json --config.file=spillway.yml", "the newest node, for programs"},
		},
	},
	declare: func(c *kingpin.CmdClause, e *env) runner {
		var pid int
		c.Arg("pid", "The process.").Required().SetValue(number{name: "PID", into: &pid, hint: "that of a process (ps -e lists them)"})
		asJSON := c.Flag("json", "Print JSON.").Bool()
		return func(context.Context) error { return explain(e, pid, *asJSON) }
	},
}

// explain prints which target takes a process, and which refused it and why.
func explain(e *env, pid int, asJSON bool) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	tracker, err := setup.NewTracker(cfg, e.host, nil, e.logger(e.logLevel))
	if err != nil {
		return err
	}
	defer tracker.Close()
	found, err := tracker.Explain(pid)
	if err != nil {
		return err
	}
	if asJSON {
		return e.printJSON(newExplanation(&found))
	}
	w := e.Stdout
	fmt.Fprintf(w, "process  %d %s\nuser     %s\nexe      %s\ncmdline  %s\n", found.PID, quoteName(found.Comm), found.User, quoteName(found.Exe), quoteName(found.Cmdline))
	if c := found.Container; c != nil {
		fmt.Fprintf(w, "container %s", c.Path())
		if c.Image != "" {
			fmt.Fprintf(w, ", image %s", c.Image)
		}
		fmt.Fprintln(w)
	}
	for _, r := range found.Refused {
		fmt.Fprintf(w, "not      %s: %s\n", r.Target, r.Reason)
	}
	target := found.Target
	if target == "" {
		target = "none"
	}
	fmt.Fprintf(w, "target   %s: %s\n", target, found.Reason)
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
