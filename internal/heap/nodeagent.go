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

	"github.com/spillway-exporter/spillway_exporter/internal/lazy"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

const (
	agentRead    = "heap\n"
	agentCollect = "gc\n"

	agentSampleRequest  = "sample\n"
	agentProfileRequest = "profile\n"
	agentTraceRequest   = "trace\n"       // of Python
	agentCensusRequest  = "census\n"      // of Python
	maxAgentAnswer      = 4 << 10         // of a reading
	maxAgentProfile     = 512 << 10       // of a profile: the script sends 200 rows
	maxAgents           = 64              // processes of one target that are asked
	agentTimeout        = 2 * time.Second // of a reading; a caller's deadline may be shorter
)

// scriptAgent reads a service through the socket of a preload script: no port is open, nothing is
// evaluated, and the target's exit does not wait.
type scriptAgent struct {
	provider *lazy.Provider[*agents]
}

// agents are the processes of a target that are asked. Of several with the script the fullest
// counts: it ends first.
type agents struct {
	target   *target
	procfs   string
	now      func() time.Time
	language *language
	limit    Amount // of the config, where it is smaller or the script says none

	turn chan struct{} // full while they are asked: there is one request at a time
	of   map[machineKey]*agent
}

// agent is one process, and the connection to its script where there is one.
type agent struct {
	member   proc.Member
	language *language
	conn     *net.UnixConn
	lines    *bufio.Reader
	owes     bool   // the answer to a request that no one waits for any longer
	asked    bool   // to sample, on this connection
	part     []byte // of a line that is longer than the buffer
	most     int    // bytes of the answer that is owed
	missed   miss
}

func newNodeAgent(p *Pool, cfg Config, of *target) (backend, error) {
	return newScriptAgent(p, cfg, of, &nodeScript)
}

func newScriptAgent(p *Pool, cfg Config, of *target, l *language) (backend, error) {
	n := &scriptAgent{}
	var err error
	n.provider, err = lazy.Add(p.lazy, lazy.Options[*agents]{
		Name: l.provider + " " + of.name, Kind: l.provider,
		Open: func(context.Context) (*agents, error) {
			all := newAgents(p.opts.ProcFS, p.opts.Now, of, l)
			if cfg.Limit > 0 {
				all.limit = Some(cfg.Limit)
			}
			return all, nil
		},
		Close: func(n *agents) { n.keep(nil) },
		Idle:  memberIdle, Now: p.opts.Now, Metrics: p.opts.Metrics,
	})
	return n, err
}

func newAgents(procfs string, now func() time.Time, of *target, l *language) *agents {
	return &agents{target: of, procfs: procfs, now: now, language: l, turn: make(chan struct{}, 1), of: make(map[machineKey]*agent)}
}

func checkScriptAgent(c *Config, _ factory, processes bool, report report.Func) {
	if !processes {
		report("provider", "%s finds the script's socket by the process, and this target watches none: write processes", c.Provider)
	}
}

// Read implements Reader.
func (n *scriptAgent) Read(ctx context.Context) (u Usage, err error) {
	ctx, cancel := context.WithTimeout(ctx, agentTimeout)
	defer cancel()
	err = withLease(ctx, n.provider, func(all *agents) error {
		u, _, err = all.fullest(ctx)
		return err
	})
	return u, err
}

// collect implements backend.
func (n *scriptAgent) collect(ctx context.Context, _ string) (before, after Usage, err error) {
	err = withLease(ctx, n.provider, func(all *agents) error {
		before, after, err = all.collect(ctx)
		return err
	})
	return before, after, err
}

func (n *scriptAgent) close() error { return n.provider.Close() }

// withLease runs f on the open value of a provider.
func withLease[T any](ctx context.Context, p *lazy.Provider[T], f func(T) error) error {
	lease, err := p.Get(ctx)
	switch {
	case errors.Is(err, lazy.ErrClosed):
		return ErrClosed
	case err != nil:
		return err
	}
	defer lease.Release()
	return f(lease.Value)
}

// take waits for the turn, until ctx is done.
func (n *agents) take(ctx context.Context) error {
	select {
	case n.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: it is asked for something else", ErrBusy)
	}
	return ctx.Err()
}

func (n *agents) give() { <-n.turn }

func (n *agents) collect(ctx context.Context) (before, after Usage, err error) {
	reading, cancel := context.WithTimeout(ctx, agentTimeout)
	defer cancel()
	before, a, err := n.fullest(reading)
	if err == nil {
		err = n.take(reading)
	}
	if err != nil {
		return Usage{}, Usage{}, fmt.Errorf("before the collection, which was not asked for: %w", err)
	}
	defer n.give()
	if n.language.exact != "" {
		if now, _, err := a.ask(reading, n.language.exact); err == nil {
			before = now
			n.limited(&before)
		}
	}
	after, sent, err := a.ask(ctx, agentCollect)
	n.limited(&after)
	if _, answered := errors.AsType[*answerError](err); answered {
		return before, Usage{}, err
	}
	return before, after, unknownIf(sent, err)
}

// fullest asks all processes at the same time and returns the one that is nearest to its limit; without
// limits the largest.
func (n *agents) fullest(ctx context.Context) (best Usage, of *agent, err error) {
	if err := n.take(ctx); err != nil {
		return Usage{}, nil, err
	}
	defer n.give()
	members := n.target.members()
	members = members[:min(len(members), maxAgents)]
	n.keep(members)
	if len(members) == 0 {
		return Usage{}, nil, ErrNoProcess
	}
	type reading struct {
		u   Usage
		err error
	}
	readings := make([]reading, len(members))
	var asked sync.WaitGroup
	for i, m := range members {
		a := n.of[keyOf(m)]
		if i == len(members)-1 { // the only one, mostly
			readings[i].u, readings[i].err = n.read(ctx, a)
			continue
		}
		asked.Go(func() { readings[i].u, readings[i].err = n.read(ctx, a) })
	}
	asked.Wait()
	ratio := -1.0
	for i, r := range readings {
		if r.err != nil {
			err = worse(err, r.err)
		} else if share, _ := r.u.Ratio(); share > ratio || share == ratio && r.u.Used.Bytes > best.Used.Bytes {
			best, of, ratio = r.u, n.of[keyOf(members[i])], share
		}
	}
	if of == nil {
		return Usage{}, nil, err
	}
	return best, of, nil
}

// worse prefers the error that says more: a process without the script, or that is not a virtual
// machine, stands alongside those that are meant, as a shell that started them does.
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

// keep drops the connections to processes that are gone, and makes room for those that are new.
func (n *agents) keep(members []proc.Member) {
	for key, a := range n.of {
		if !slices.ContainsFunc(members, func(o proc.Member) bool { return keyOf(o) == key }) {
			a.drop()
			delete(n.of, key)
		}
	}
	for _, m := range members {
		if key := keyOf(m); n.of[key] == nil {
			n.of[key] = &agent{member: m, language: n.language}
		}
	}
}

func (a *agent) drop() {
	if a.conn != nil {
		a.conn.Close()
	}
	a.conn, a.lines, a.owes, a.asked, a.part = nil, nil, false, false, nil
}

// read asks a process, on the connection that is held or on a new one. A held one that the process
// has closed since is replaced once.
func (n *agents) read(ctx context.Context, a *agent) (Usage, error) {
	for again := a.conn != nil; ; again = false {
		if a.conn == nil {
			if err := a.missed.look(n.now(), func() error { return a.dial(n.procfs) }); err != nil {
				return Usage{}, err
			}
		}
		u, _, err := a.ask(ctx, agentRead)
		if err == nil && n.language.samples {
			a.sample(ctx, n.target.samples())
		}
		n.limited(&u)
		if err == nil || !again || !errors.Is(err, ErrUnreachable) {
			return u, err
		}
	}
}

// dial connects to the socket of the process below its own root, following no link, and makes sure
// that the process itself is at the other end.
func (a *agent) dial(procfs string) error {
	pid := a.member.PID
	uid, nspid, err := identity(procfs, pid)
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	root, err := openRoot(procfs, pid)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	folder := fmt.Sprintf("tmp/%s-%d", a.language.folder, insideUID(procfs, pid, uid))
	name := fmt.Sprintf("%s/%d.sock", folder, nspid)
	var conn *net.UnixConn
	if err = checkAgentFolder(root, folder, uid); err == nil {
		conn, err = dialBelow(root, name, pid, uid)
	}
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("%w: process %d has no /%s: %s", ErrUnreachable, pid, name, a.language.start)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("process %d: /%s: %w: run as the same user, or with CAP_DAC_READ_SEARCH; an earlier script admits only its own user: restart the service with the present one", pid, name, err)
	case err != nil:
		return fmt.Errorf("process %d: %w", pid, err)
	}
	a.conn, a.lines = conn, bufio.NewReaderSize(conn, maxAgentAnswer)
	return nil
}

// ask sends a request and reads its answer, a usage.
func (a *agent) ask(ctx context.Context, request string) (u Usage, sent bool, err error) {
	line, sent, err := a.exchange(ctx, request)
	if err != nil {
		return Usage{}, sent, err
	}
	if u, err = a.language.decode(line); err != nil {
		err = fmt.Errorf("process %d: %w", a.member.PID, err)
		if _, answered := errors.AsType[*answerError](err); !answered {
			a.drop()
		}
	}
	return u, true, err
}

// exchange sends a request and reads its answer, which is valid until the next. One that does not come in time is owed:
// nothing more is sent before it has come, and it is taken for no one's. After any other error the connection is of
// no more use.
func (a *agent) exchange(ctx context.Context, request string) (line []byte, sent bool, err error) {
	if a.conn == nil {
		return nil, false, fmt.Errorf("process %d: %w: its script is not connected", a.member.PID, ErrUnreachable)
	}
	deadline, _ := ctx.Deadline()
	if err := a.conn.SetDeadline(deadline); err != nil {
		return nil, false, err
	}
	conn := a.conn // which is dropped perhaps while the function below begins to run
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if a.owes {
		if _, err := a.line(ctx); err != nil {
			return nil, false, err
		}
	}
	if k, err := io.WriteString(a.conn, request); err != nil {
		defer a.drop()
		return nil, k > 0, a.explain(ctx, err)
	}
	a.owes, a.most = true, maxAgentAnswer
	switch request {
	case agentProfileRequest, agentTraceRequest, agentCensusRequest:
		a.most = maxAgentProfile
	}
	line, err = a.line(ctx)
	return line, true, err
}

// line reads the answer that is owed.
func (a *agent) line(ctx context.Context) ([]byte, error) {
	line, err := a.readLine()
	if err == nil {
		a.owes = false
		return line, nil
	}
	err = a.explain(ctx, err)
	if !errors.Is(err, ErrBusy) && ctx.Err() == nil {
		a.drop()
	}
	return nil, err
}

// readLine reads one line: that of a reading fits into the buffer, that of a profile is put together. What was read of one
// whose end does not come in time is kept for the next call.
func (a *agent) readLine() ([]byte, error) {
	for {
		part, err := a.lines.ReadSlice('\n')
		if err == nil && len(a.part) == 0 {
			return part, nil
		}
		a.part = append(a.part, part...)
		switch {
		case len(a.part) > a.most:
			return nil, bufio.ErrBufferFull
		case err == nil:
			line := a.part
			a.part = nil
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

func (a *agent) explain(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded), ctx.Err() != nil:
		return fmt.Errorf("process %d: %w: its script has not answered in time", a.member.PID, ErrBusy)
	case errors.Is(err, bufio.ErrBufferFull):
		return fmt.Errorf("process %d: its answer is longer than %d bytes", a.member.PID, a.most)
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
