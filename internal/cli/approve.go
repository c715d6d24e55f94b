package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/spillway-exporter/spillway_exporter/internal/control"
)

var approveCommand = command{
	name: "approve",
	help: usage{
		summary: "Approve a proposal, or list those that wait.",
		effects: "the running exporter carries out the proposal, if the situation is still the one that it was made for. Without an ID nothing changes.",
		examples: [][2]string{
			{"spillway_exporter approve --config.file=spillway.yml", "the proposals that wait"},
			{"spillway_exporter approve 01J9Z0000001 --by=anna --config.file=spillway.yml", "carry one out"},
		},
	},
	declare: func(c *kingpin.CmdClause, e *env) runner { return declareDecision(c, e, false) },
}

var denyCommand = command{
	name: "deny",
	help: usage{
		summary: "Deny a proposal.",
		effects: "nothing is changed, and the running exporter makes no other proposal for the same situation, unless the level rises.",
		examples: [][2]string{
			{"spillway_exporter deny 01J9Z0000001 --by=anna --config.file=spillway.yml", "deny one"},
			{"spillway_exporter deny --config.file=spillway.yml 01J9Z0000001", "deny one in your own name"},
		},
	},
	declare: func(c *kingpin.CmdClause, e *env) runner { return declareDecision(c, e, true) },
}

func declareDecision(c *kingpin.CmdClause, e *env, deny bool) runner {
	req := control.Decide{Deny: deny}
	id := c.Arg("id", "ID of the proposal.").PlaceHolder("ID")
	if deny {
		id.Required()
	}
	id.StringVar(&req.ID)
	c.Flag("by", "Who decides, for the journal.").PlaceHolder("NAME").StringVar(&req.By)
	return func(ctx context.Context) error { return decide(ctx, e, req) }
}

// decide sends the decision to the running exporter, and prints what came of it.
func decide(ctx context.Context, e *env, req control.Decide) error {
	out, err := asked(ctx, e, "there are no proposals without it", (*control.Client).Decide, req)
	switch {
	case err != nil:
		return err
	case req.ID == "" && len(out.Waits) == 0:
		fmt.Fprintln(e.Stdout, "no proposal waits")
	case req.ID == "":
		t := newTable(e.Stdout, "ID", "TARGET", "PLAYBOOK", "LEVEL", "VALID UNTIL", "WHAT")
		for _, p := range out.Waits {
			t.row(p.ID, p.Target, p.Playbook, p.Level, p.Until.Local().Format(time.DateTime), p.What)
		}
		t.flush()
	case req.Deny:
		fmt.Fprintf(e.Stdout, "denied: %s\n", req.ID)
	default:
		fmt.Fprintf(e.Stdout, "approved: %s, run %s\n", req.ID, out.Run)
	}
	return nil
}
