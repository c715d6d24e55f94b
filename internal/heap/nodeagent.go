package heap

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

const (
	agentRead      = "heap\n"
	agentCollect   = "gc\n"
	maxAgentAnswer = 4 << 10
	maxAgents      = 64 // processes of one target that are asked
)

// nodeAgent reads Node.js through the socket of a preload script: no port is open, nothing is
// evaluated, and the target's exit does not wait. Of several processes with the script the fullest
// counts: it ends first.
type nodeAgent struct {
	target *target
	procfs string

	mu     sync.Mutex // held during a request: there is one at a time
	agents map[machineKey]*agent
	closed bool
}

// agent is one connection.
type agent struct {
	member proc.Member
	conn   *net.UnixConn
	lines  *bufio.Reader
}

func newNodeAgent(p *Pool, _ Config, of *target) (backend, error) {
	return &nodeAgent{target: of, procfs: p.opts.ProcFS, agents: make(map[machineKey]*agent)}, nil
}

func checkNodeAgent(_ *Config, _ factory, processes bool, report func(key, format string, args ...any)) {
	if !processes {
		report("provider", "%s finds the script's socket by the process, and this target watches none: write processes", ProviderAgent)
	}
}

// Read implements Reader.
func (n *nodeAgent) Read(ctx context.Context) (Usage, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	u, _, err := n.fullest(ctx)
	return u, err
}

// collect implements backend.
func (n *nodeAgent) collect(ctx context.Context, _ string) (before, after Usage, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before, a, err := n.fullest(ctx)
	if err != nil {
		return Usage{}, Usage{}, fmt.Errorf("before the collection, which was not asked for: %w", err)
	}
	after, sent, err := a.ask(ctx, agentCollect)
	if err != nil {
		n.drop(a)
	}
	if _, answered := errors.AsType[*answerError](err); answered {
		return before, Usage{}, err
	}
	return before, after, unknownIf(sent, err)
}

func (n *nodeAgent) fullest(ctx context.Context) (best Usage, of *agent, err error) {
	if n.closed {
		return Usage{}, nil, ErrClosed
	}
	members := n.target.members()
	n.keep(members)
	if len(members) == 0 {
		return Usage{}, nil, ErrNoProcess
	}
	ratio := -1.0
	for _, m := range members[:min(len(members), maxAgents)] {
		u, a, readErr := n.read(ctx, m)
		if readErr != nil {
			err = worse(err, readErr)
			continue
		}
		if r, _ := u.Ratio(); r > ratio {
			best, of, ratio = u, a, r
		}
	}
	if of == nil {
		return Usage{}, nil, err
	}
	return best, of, nil
}

// worse prefers the error that says more: a process without the script, or that is no virtual
// machine, stands beside those that are meant, as a shell that started them does.
func worse(a, b error) error {
	rank := func(err error) int {
		switch {
		case err == nil:
			return 0
		case errors.Is(err, errNoMachine):
			return 1
		case errors.Is(err, ErrUnreachable):
			return 2
		}
		return 3
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}

func (n *nodeAgent) keep(members []proc.Member) {
	for key, a := range n.agents {
		if !slices.ContainsFunc(members, func(o proc.Member) bool { return machineKey{o.PID, o.Start} == key }) {
			n.drop(a)
		}
	}
}

func (n *nodeAgent) drop(a *agent) {
	a.conn.Close()
	delete(n.agents, machineKey{a.member.PID, a.member.Start})
}

// read asks a process, on the connection that is held or on a new one. A held one that the process
// has closed since is replaced once.
func (n *nodeAgent) read(ctx context.Context, m proc.Member) (Usage, *agent, error) {
	key := machineKey{m.PID, m.Start}
	for again := n.agents[key] != nil; ; again = false {
		a := n.agents[key]
		if a == nil {
			var err error
			if a, err = dialAgent(n.procfs, m); err != nil {
				return Usage{}, nil, err
			}
			n.agents[key] = a
		}
		u, _, err := a.ask(ctx, agentRead)
		if err == nil {
			return u, a, nil
		}
		n.drop(a)
		if !again || errors.Is(err, ErrBusy) || ctx.Err() != nil {
			return Usage{}, nil, err
		}
	}
}

func (n *nodeAgent) close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	n.keep(nil)
	return nil
}

// dialAgent connects to the socket of a process below its own root, following no link, and makes
// sure that the process itself is at the other end.
func dialAgent(procfs string, m proc.Member) (*agent, error) {
	uid, nspid, err := identity(procfs, m.PID)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", m.PID, err)
	}
	root, err := openRoot(procfs, m.PID)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	name := fmt.Sprintf("tmp/spillway-agent-%d/%d.sock", uid, nspid)
	conn, err := dialBelow(root, name, m.PID, uid)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ECONNREFUSED):
		return nil, fmt.Errorf("%w: process %d has no /%s: start node with --require=/usr/share/spillway/spillway-agent.cjs", ErrUnreachable, m.PID, name)
	case err != nil:
		return nil, fmt.Errorf("process %d: %w", m.PID, err)
	}
	return &agent{member: m, conn: conn, lines: bufio.NewReaderSize(conn, maxAgentAnswer)}, nil
}

// ask sends a request and reads its answer. After an error the connection is of no more use: the
// answer may still come.
func (a *agent) ask(ctx context.Context, request string) (u Usage, sent bool, err error) {
	deadline, _ := ctx.Deadline()
	if err := a.conn.SetDeadline(deadline); err != nil {
		return Usage{}, false, err
	}
	defer context.AfterFunc(ctx, func() { _ = a.conn.SetDeadline(time.Unix(1, 0)) })()
	if k, err := io.WriteString(a.conn, request); err != nil {
		return Usage{}, k > 0, a.explain(ctx, err)
	}
	line, err := a.lines.ReadSlice('\n')
	if err != nil {
		return Usage{}, true, a.explain(ctx, err)
	}
	u, err = decodeAgent(line)
	if err != nil {
		err = fmt.Errorf("process %d: %w", a.member.PID, err)
	}
	return u, true, err
}

func (a *agent) explain(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded), ctx.Err() != nil:
		return fmt.Errorf("process %d: %w: its script has not answered in time", a.member.PID, ErrBusy)
	case errors.Is(err, bufio.ErrBufferFull):
		return fmt.Errorf("process %d: its answer is longer than %d bytes", a.member.PID, maxAgentAnswer)
	}
	return fmt.Errorf("process %d: %w: %w", a.member.PID, ErrUnreachable, err)
}

// decodeAgent reads {"used":...,"committed":...,"limit":...} or {"error":"..."}.
func decodeAgent(line []byte) (u Usage, err error) {
	var r struct {
		Used, Committed, Limit *float64
		Error                  string
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return Usage{}, fmt.Errorf("its script answered %q: %w", clip(string(line[:min(len(line), 60)])), err)
	}
	if r.Error != "" {
		return Usage{}, &answerError{fmt.Errorf("its script refused: %s", clip(r.Error))}
	}
	for _, f := range []struct {
		name string
		v    *float64
		to   *Amount
	}{{"used", r.Used, &u.Used}, {"committed", r.Committed, &u.Committed}, {"limit", r.Limit, &u.Limit}} {
		amount, e := amountOf(f.name, f.v)
		err = cmp.Or(err, e)
		*f.to = amount
	}
	if err != nil {
		return Usage{}, err
	}
	return u, nil
}
