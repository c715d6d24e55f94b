package action

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	clockSlack = 10 * time.Minute // what a correction by NTP may move the clock without doubt
	clockSave  = time.Minute      // between two times that the mark is kept
	clockHold  = time.Hour        // how long the clock has to be steady after a jump
)

// ErrClockJump says that the clock was set forward: every file seems older than it is.
var ErrClockJump = errors.New("the clock was set forward, so every file seems older than it is: nothing is judged by its age")

// Clock notices that the wall clock was set forward since ages were judged last, by the time since
// the host's start, which no one can set. It is safe for concurrent use; a nil *Clock trusts the
// clock.
type Clock struct {
	opts ClockOptions

	mu     sync.Mutex
	loaded bool
	mark   clockMark
	saved  clockMark
}

// ClockOptions configure a Clock. What is not given is the host's.
type ClockOptions struct {
	Now    func() time.Time
	Uptime func() time.Duration // since the host started, suspended or not
	BootID string               // names the host's start
	Load   func() ([]byte, error)
	Save   func([]byte) error
}

// clockMark is what is remembered between runs, also of different processes.
type clockMark struct {
	BootID string        `json:"boot_id"`
	Wall   time.Time     `json:"wall"`
	Uptime time.Duration `json:"uptime"`
	Jump   time.Duration `json:"jump,omitempty"` // by which the clock was set forward
	Until  time.Duration `json:"until,omitempty"`
}

// NewClock returns a Clock that goes on, from its first Check, from what Load returns. What cannot
// be read is as if nothing had been judged before.
func NewClock(o ClockOptions) *Clock {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Uptime == nil {
		o.Uptime = uptime
	}
	if o.BootID == "" {
		o.BootID = bootID()
	}
	return &Clock{opts: o}
}

// Check compares the clock with the last run's. The error is ErrClockJump while the clock has not
// been steady for an hour after it was set forward by more than ten minutes, and that of Save.
func (c *Clock) Check() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.loaded && c.opts.Load != nil {
		if raw, err := c.opts.Load(); err == nil && len(raw) > 0 {
			_ = json.Unmarshal(raw, &c.mark) // of another version: as if there was none
		}
	}
	c.loaded = true
	m := clockMark{BootID: c.opts.BootID, Wall: c.opts.Now().Round(0), Uptime: c.opts.Uptime()}
	if last := c.mark; last.BootID == m.BootID && m.BootID != "" {
		m.Jump, m.Until = last.Jump, last.Until
		if jump := m.Wall.Sub(last.Wall) - (m.Uptime - last.Uptime); jump > clockSlack {
			m.Jump, m.Until = jump, m.Uptime+clockHold
		}
	}
	c.mark = m
	// Once a minute is enough: the jump is what must not be forgotten.
	if c.opts.Save != nil && (m.Until != c.saved.Until || m.BootID != c.saved.BootID || m.Uptime-c.saved.Uptime > clockSave) {
		raw, err := json.Marshal(m)
		if err == nil {
			err = c.opts.Save(raw)
		}
		if err != nil {
			return fmt.Errorf("remember the clock: %w", err)
		}
		c.saved = m
	}
	if left := m.Until - m.Uptime; left > 0 {
		return fmt.Errorf("%w; it was set forward by %s, and is trusted again in %s if it is steady: set it right, or run cleanup with --force",
			ErrClockJump, units.Duration(m.Jump.Round(time.Minute)), units.Duration(left.Round(time.Second)))
	}
	return nil
}

func uptime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// bootID is "" where the host does not say: then no two runs are compared.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
