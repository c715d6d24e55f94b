package restart

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
)

const (
	busTimeout = 10 * time.Second // for one answer of systemd
	jobPoll    = time.Second      // should the signal of the job's end get lost

	// jobMode refuses a job that conflicts with one that waits: a person who stops the unit, and the shutdown of the
	// host, are not fought (org.freedesktop.systemd1(5), StartUnit).
	jobMode = "fail"

	// askMode is a mode that systemd refuses for every restart, but only after it has asked polkit: since systemd 246
	// it is known, and valid for stops alone. It shows whether the right is there, and restarts nothing.
	askMode = "triggering"
	invalid = "org.freedesktop.DBus.Error.InvalidArgs"
)

// systemd restarts a unit of the system's systemd.
type systemd struct {
	unit string
	dial func(context.Context) (*dbus.Conn, error)
}

func newSystemd(unit string, dial func(context.Context) (*dbus.Conn, error)) *systemd {
	return &systemd{unit, dial}
}

// systemBus connects to the system bus. The private socket of systemd, which root could use, bypasses polkit.
func systemBus(ctx context.Context) (*dbus.Conn, error) { return dbus.NewSystemConnectionContext(ctx) }

// open connects. The connection lives until close, whatever becomes of ctx.
func (s *systemd) open(ctx context.Context) (c *dbus.Conn, closeConn func(), err error) {
	alive, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel) // while it connects
	c, err = s.dial(alive)
	if !stop() && err == nil {
		c.Close()
		err = ctx.Err()
	}
	if err != nil {
		cancel()
		return nil, nil, fmt.Errorf("systemd: %w: %w", ErrUnreachable, err)
	}
	return c, func() {
		c.Close()
		cancel()
	}, nil
}

// State implements Manager.
func (s *systemd) State(ctx context.Context) (State, error) {
	c, closeConn, err := s.open(ctx)
	if err != nil {
		return State{}, err
	}
	defer closeConn()
	return s.state(ctx, c)
}

func (s *systemd) state(ctx context.Context, c *dbus.Conn) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, busTimeout)
	defer cancel()
	props, err := c.GetUnitPropertiesContext(ctx, s.unit)
	if err != nil {
		return State{}, s.failed(err, ErrUnreachable)
	}
	load, active, sub := text(props["LoadState"]), text(props["ActiveState"]), text(props["SubState"])
	if load != "loaded" {
		return State{}, fmt.Errorf("systemd: %s: %w: its unit file is %s", s.unit, ErrUnknown, load)
	}
	st := State{Phase: Busy, Shows: true, Text: active + " (" + sub + ")", Began: micros(props["ActiveEnterTimestamp"]), Left: micros(props["ActiveExitTimestamp"])}
	if id, ok := props["InvocationID"].([]byte); ok {
		st.Instance = hex.EncodeToString(id)
	}
	job, _ := props["Job"].([]any)
	switch {
	case len(job) > 0 && fmt.Sprint(job[0]) != "0":
		st.Text += ", a job waits"
	case active == "active" || active == "reloading":
		st.Phase = Running
	case active == "failed":
		st.Phase = Broken
	case active == "inactive":
		st.Phase, st.Instance = Stopped, ""
	}
	if host, err := c.SystemStateContext(ctx); err == nil && text(host.Value.Value()) == "stopping" {
		st.Phase, st.Text = Closing, "the host shuts down"
	}
	return st, nil
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// micros is a time of systemd: microseconds since 1970, 0 for one that has not been.
func micros(v any) time.Time {
	us, _ := v.(uint64)
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(us))
}

// Restart implements Manager.
func (s *systemd) Restart(ctx context.Context, from State) error {
	c, closeConn, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer closeConn()
	ended := make(chan string, 1)
	if _, err := c.RestartUnitContext(ctx, s.unit, jobMode, ended); err != nil {
		return s.failed(err, ErrUnseen)
	}
	poll := time.NewTicker(jobPoll)
	defer poll.Stop()
	for {
		select {
		case result := <-ended:
			if result != "done" {
				return fmt.Errorf("systemd: the restart of %s: %w: its job ended %s", s.unit, ErrEnded, result)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("systemd: the restart of %s: %w: %w", s.unit, ErrUnseen, ctx.Err())
		case <-poll.C:
			now, err := s.state(ctx, c)
			switch {
			case err != nil && !c.Connected():
				return fmt.Errorf("systemd: the restart of %s: %w: %w", s.unit, ErrUnseen, err)
			case err == nil && now.Phase == Running && now.Instance != from.Instance:
				return nil
			case err == nil && now.Phase == Broken:
				return fmt.Errorf("systemd: the restart of %s: %w: it is %s", s.unit, ErrEnded, now.Text)
			}
		}
	}
}

// failed says what an error of a call means; unanswered is what one means without an answer.
func (s *systemd) failed(err, unanswered error) error {
	e, ok := errors.AsType[godbus.Error](err)
	if !ok {
		return fmt.Errorf("systemd: %s: %w: %w", s.unit, unanswered, err)
	}
	switch e.Name {
	case "org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", "org.freedesktop.DBus.Error.AuthFailed":
		return fmt.Errorf("systemd: %s: %w this user: write the rule that spillway_exporter export --polkit %s prints to /etc/polkit-1/rules.d/50-spillway.rules", s.unit, ErrNotAllowed, s.unit)
	case "org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.systemd1.LoadFailed", "org.freedesktop.systemd1.UnitMasked":
		return fmt.Errorf("systemd: %s: %w: %s", s.unit, ErrUnknown, e.Error())
	case "org.freedesktop.systemd1.TransactionIsDestructive", "org.freedesktop.systemd1.TransactionJobsConflicting", "org.freedesktop.systemd1.ShuttingDown":
		return fmt.Errorf("systemd: %s: %w: %s", s.unit, ErrBusy, e.Error())
	case "org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.Timeout", "org.freedesktop.DBus.Error.TimedOut":
		return fmt.Errorf("systemd: %s: %w: %s", s.unit, unanswered, e.Error())
	}
	return fmt.Errorf("systemd: %s: %s: %s", s.unit, e.Name, e.Error())
}

// Check implements Manager. Polkit says only root what it would say about one unit. So it asks for a restart in a way
// that systemd refuses once polkit has agreed.
func (s *systemd) Check(ctx context.Context) error {
	st, err := s.State(ctx)
	if err == nil {
		err = s.right(ctx)
	}
	switch {
	case err != nil:
		return err
	case st.Phase == Broken, st.Phase == Stopped:
		return fmt.Errorf("systemd: %s is %s: it would not be restarted", s.unit, st.Text)
	}
	return nil
}

// right reports whether polkit lets this user restart the unit.
func (s *systemd) right(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, busTimeout)
	defer cancel()
	c, closeConn, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer closeConn()
	_, err = c.RestartUnitContext(ctx, s.unit, askMode, nil)
	e, ok := errors.AsType[godbus.Error](err)
	switch {
	case err == nil:
		return fmt.Errorf("systemd: %s: it has taken a restart that it has to refuse", s.unit)
	case !ok || e.Name != invalid:
		return s.failed(err, ErrUnreachable)
	case strings.HasSuffix(e.Error(), " invalid"): // it does not know the mode, and has not asked polkit
		return fmt.Errorf("systemd: %s: %w: systemd is older than 246", s.unit, ErrUnproven)
	}
	return nil
}
