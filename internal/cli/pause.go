package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/spillway-exporter/spillway_exporter/internal/control"
)

var pauseCommand = command{
	name: "pause",
	help: usage{
		summary: "Pause what the exporter does by itself, for one target or all.",
		effects: "the running exporter starts nothing by itself until the pause ends. A step that is running finishes. Sampling and alerts go on, and so does what a person requests.",
		examples: [][2]string{
			{"spillway_exporter pause --for=2h --reason=release --config.file=spillway.yml", "all targets for two hours"},
			{"spillway_exporter pause --target=orchestrator --config.file=spillway.yml", "one target, until resume"},
		},
	},
	declare: func(c *kingpin.CmdClause, e *env) runner {
		var req control.Pause
		c.Flag("target", "Only this target.").PlaceHolder("NAME").HintAction(e.targetNames).StringVar(&req.Target)
		c.Flag("for", "End the pause after this time, such as 2h; without it, the pause lasts until resume.").PlaceHolder("SPAN").SetValue(span{"for", &req.For})
		c.Flag("reason", "Why, for the page and the journal.").PlaceHolder("TEXT").StringVar(&req.Reason)
		return func(ctx context.Context) error { return pause(ctx, e, req) }
	},
}

var resumeCommand = command{
	name: "resume",
	help: usage{
		summary: "End a pause.",
		effects: "the running exporter acts by itself again, for alerts that still fire as soon as they are repeated.",
		examples: [][2]string{
			{"spillway_exporter resume --config.file=spillway.yml", "end all pauses"},
			{"spillway_exporter resume --target=orchestrator --config.file=spillway.yml", "end the pause of one target"},
		},
	},
	declare: func(c *kingpin.CmdClause, e *env) runner {
		req := control.Pause{Resume: true}
		c.Flag("target", "Only this target.").PlaceHolder("NAME").HintAction(e.targetNames).StringVar(&req.Target)
		return func(ctx context.Context) error { return pause(ctx, e, req) }
	},
}

// pauseTime bounds the whole exchange: the exporter waits for the journal for some seconds at most.
const pauseTime = 30 * time.Second

// asked sends a request to the running exporter and returns its answer; none is what it means that nothing runs.
func asked[Request, Answer any](ctx context.Context, e *env, none string, send func(*control.Client, context.Context, Request) (Answer, error), req Request) (out Answer, err error) {
	cfg, err := e.config()
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, pauseTime)
	defer cancel()
	client, err := dial(ctx, cfg)
	if errors.Is(err, control.ErrNone) {
		return out, fmt.Errorf("%w, so %s: start it, or name the configuration that it runs with by --config.file", err, none)
	}
	if err != nil {
		return out, err
	}
	defer client.Close()
	if out, err = send(client, ctx, req); errors.Is(err, control.ErrRefused) {
		err = withCode(ExitConfig, err)
	}
	return out, err
}

// pause asks the running exporter for a pause or its end, and prints what has changed.
func pause(ctx context.Context, e *env, req control.Pause) error {
	out, err := asked(ctx, e, "there is nothing to pause", (*control.Client).Pause, req)
	switch {
	case err != nil:
		return err
	case len(out.Changed) == 0:
		fmt.Fprintln(e.Stdout, "nothing is paused")
	}
	word := "paused"
	if req.Resume {
		word = "resumed"
	}
	for _, text := range out.Changed {
		fmt.Fprintf(e.Stdout, "%s: %s\n", word, text)
	}
	if out.Warning != "" {
		return errors.New(out.Warning)
	}
	return nil
}
