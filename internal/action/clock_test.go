package action

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// fakeClock is a wall clock that someone sets, and a host that has a better one.
type fakeClock struct {
	wall  time.Time
	up    time.Duration
	boot  string
	saved []byte
	fails error
}

func (f *fakeClock) pass(d time.Duration) { f.wall, f.up = f.wall.Add(d), f.up+d }

func (f *fakeClock) clock() *Clock {
	return NewClock(ClockOptions{
		Now: func() time.Time { return f.wall }, Uptime: func() time.Duration { return f.up }, BootID: f.boot,
		Load: func() ([]byte, error) { return f.saved, nil }, Save: func(b []byte) error { f.saved = b; return f.fails },
	})
}

func TestClock(t *testing.T) {
	f := &fakeClock{wall: time.Now(), up: time.Hour, boot: "a"}
	c := f.clock()
	check := func(what string, jumped bool) {
		t.Helper()
		if err := c.Check(); errors.Is(err, ErrClockJump) != jumped || !jumped && err != nil {
			t.Errorf("%s: %v, want a jump: %v", what, err, jumped)
		}
	}
	check("the first run", false)
	f.pass(240 * time.Hour)
	check("ten days later", false)
	f.wall = f.wall.Add(9 * time.Minute)
	check("a correction", false)
	f.wall = f.wall.Add(720 * time.Hour)
	check("30 days forward", true)
	if err := c.Check(); !strings.Contains(err.Error(), "forward by 30d") || !strings.Contains(err.Error(), "in 1h") {
		t.Errorf("the error says %q", err)
	}
	f.pass(59 * time.Minute)
	check("59 minutes after it", true)
	c = f.clock()
	check("in another process", true)
	f.pass(time.Minute)
	check("steady for an hour", false)
	f.wall = f.wall.Add(-720 * time.Hour)
	check("set back: everything seems younger", false)
	f.wall = f.wall.Add(720 * time.Hour)
	f.boot, f.up = "b", time.Minute
	c = f.clock()
	check("another start of the host: no one knows how long it was off", false)
	f.pass(2 * clockSave)
	f.fails = errors.New("no space")
	if err := c.Check(); err == nil || errors.Is(err, ErrClockJump) {
		t.Errorf("a mark that cannot be kept: %v", err)
	}
	if err := (*Clock)(nil).Check(); err != nil {
		t.Errorf("without a clock: %v", err)
	}
	real := NewClock(ClockOptions{})
	if err := errors.Join(real.Check(), real.Check()); err != nil {
		t.Errorf("of this host: %v", err)
	}
}

// TestClockJumpRemovesNothing sets the clock 30 days forward between two runs.
func TestClockJumpRemovesNothing(t *testing.T) {
	f := &fakeClock{wall: time.Now(), up: time.Hour, boot: "a"}
	o := dirOptions()
	o.Clock, o.Now = f.clock(), func() time.Time { return f.wall }
	dir := realDir(t)
	put(t, dir+"/old.bin", 10, 2*time.Hour)
	put(t, dir+"/kept.bin", 10, 10*time.Minute)
	put(t, dir+"/young.bin", 10, 10*time.Minute)
	common := common(dir)
	common.AgeBy = policy.AgeMtime
	temp := newCleanTemp(o, []policy.Temp{{Common: common, MaxAge: units.Duration(time.Hour)}})
	cache := newEvictCache(o, []policy.Cache{{Common: common, MaxEntries: 1, MaxAge: units.Duration(time.Hour)}})
	run := func(a Action, req Request) Result {
		t.Helper()
		res, err := a.Run(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if res := run(temp, Request{}); res.Files != 1 || res.Outcome != Done {
		t.Fatalf("before: %+v", res)
	}
	f.wall = f.wall.Add(720 * time.Hour)
	for name, a := range map[string]Action{"clean_temp": temp, "evict_cache": cache} {
		for _, dry := range []bool{true, false} {
			res := run(a, Request{DryRun: dry})
			if res.Files != 0 || res.Outcome != Failed || !strings.Contains(res.Detail, "clock was set forward") || len(left(t, dir)) != 2 {
				t.Errorf("%s, dry run %v: %+v, %v left", name, dry, res, left(t, dir))
			}
		}
	}
	if res := run(temp, Request{Force: true}); res.Files != 2 {
		t.Errorf("with force: %+v", res)
	}
}
