package action

import (
	"context"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// TestNotFreedWhileHeld: a descriptor that only means a file (O_PATH) does not make it one in use, and
// keeps its blocks.
func TestNotFreedWhileHeld(t *testing.T) {
	dir := realDir(t)
	put(t, dir+"/free", 8192, time.Hour)
	put(t, dir+"/held", 100_000, time.Hour)
	fd, err := unix.Open(dir+"/held", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	p := policy.Temp{Common: common(dir), MaxAge: units.Duration(time.Minute)}
	res, err := newCleanTemp(dirOptions(), []policy.Temp{p}).Run(t.Context(), Request{})
	if err != nil || res.Files != 2 || res.FreedBytes != 8192 {
		t.Errorf("%+v, %v; want two files removed and the blocks of one given back", res, err)
	}
}

// TestStoppedRotationIsPartial: a run that was ended in the middle of a log has not done its work.
func TestStoppedRotationIsPartial(t *testing.T) {
	dir := realDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	put(t, dir+"/app.log", 9<<20, time.Hour)
	c := common(dir)
	c.Include = []string{"*.log"}
	p := policy.Log{Common: c, MaxBytes: 1}
	o := dirOptions().complete()
	// The last scan of the names is followed by the copy of the only log.
	res := runPolicy(ctx, Request{}, &o, policy.KindLog, &p, func(r *dirRun) error {
		l := &logRun{dirRun: r, p: &p, known: policy.NewLogFiles(&p, r.names)}
		l.rotator = safefs.NewRotator(safefs.RotateOptions{Now: r.now, Remover: r.remover.Remover, Oversize: func(size, allocated int64) bool {
			cancel() // asked when the log is held
			return p.Oversize(size, allocated)
		}})
		return l.run()
	})
	if res.Outcome != Partial || res.Skipped[string(safefs.Stopped)] != 1 {
		t.Errorf("%+v, want it partial", res)
	}
	if info, err := os.Stat(dir + "/app.log"); err != nil || info.Size() != 9<<20 {
		t.Errorf("the log: %v, %v", info, err)
	}
}
