package action

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// logPolicy is a policy over a folder of logs, and options whose clock stands still.
func logPolicy(t *testing.T) (dir string, p policy.Log, o DirOptions) {
	t.Helper()
	dir = realDir(t) + "/logs"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	keep := int64(2)
	p = policy.Log{Common: common(dir), MaxBytes: 1000, KeepFiles: &keep}
	p.Include, p.Keep, p.SizeBy = []string{"*.log"}, []string{"audit.log"}, policy.SizeApparent
	o = dirOptions()
	now := time.Now()
	o.Now = func() time.Time { return now }
	return dir, p, o
}

// rotated returns the name that a log was given so long ago, and makes it.
func rotated(t *testing.T, o *DirOptions, dir, log string, age time.Duration, compressed bool) string {
	t.Helper()
	name := policy.RotatedName(log, o.Now().Add(-age), 1, compressed)
	put(t, filepath.Join(dir, name), 10, age)
	return name
}

func TestRotateLogs(t *testing.T) {
	dir, p, o := logPolicy(t)
	put(t, dir+"/app.log", 5000, time.Minute)
	put(t, dir+"/small.log", 1000, 0)
	put(t, dir+"/audit.log", 5000, 0)
	put(t, dir+"/other.txt", 5000, 0)
	first, second := rotated(t, &o, dir, "app.log", 2*time.Hour, true), rotated(t, &o, dir, "app.log", time.Hour, false)
	third := rotated(t, &o, dir, "app.log", 3*time.Hour, true)
	small := rotated(t, &o, dir, "small.log", 9*time.Hour, false)
	put(t, filepath.Join(dir, policy.RotationTemp(7, 8)), 99, time.Hour) // of a run that was killed
	before := left(t, dir)
	made := policy.RotatedName("app.log", o.Now(), 1, false)
	var planned []string
	for _, dry := range []bool{true, false} {
		var did []string
		req := Request{DryRun: dry, OnFile: naming(func(path, why string) { did = append(did, why+" "+path) })}
		res, err := newRotateLogs(o, []policy.Log{p}).Run(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		want := PolicyResult{
			Target: "svc", Policy: "p", Kind: policy.KindLog, Dir: dir, Files: 3, Bytes: 119, Rotated: 1, Scanned: 7,
			FreedBytes: res.FreedBytes, Skipped: map[string]int64{"kept": 1}, Outcome: Done,
			InUseIncomplete: dry && res.Policies[0].InUseIncomplete, // as this user may see
		}
		detail := "rotated 1 logs"
		if dry {
			want.Outcome, detail = DryRun, "would rotate 1 logs"
			if diff := gocmp.Diff(before, left(t, dir)); diff != "" {
				t.Errorf("a dry run changed the folder:\n%s", diff)
			}
			planned = did
		}
		if diff := gocmp.Diff([]PolicyResult{want}, res.Policies); diff != "" || res.Detail != detail {
			t.Errorf("dry run %v: %s; result (-want +got):\n%s", dry, res.Detail, diff)
		}
		if diff := gocmp.Diff(planned, did); diff != "" {
			t.Errorf("the dry run named others (-planned +done):\n%s", diff)
		}
	}
	_, _ = first, third // gone: two are kept, and one was made
	if diff := gocmp.Diff([]string{"app.log", second, made, "audit.log", "other.txt", "small.log", small}, left(t, dir)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	for name, size := range map[string]int64{"app.log": 0, made: 5000, "audit.log": 5000} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() != size {
			t.Errorf("%s has %d bytes, want %d", name, info.Size(), size)
		}
	}
	// Again: nothing is over its limit any more.
	res, err := newRotateLogs(o, []policy.Log{p}).Run(t.Context(), Request{})
	if err != nil || res.Outcome != Done || res.Files != 0 || res.Policies[0].Rotated != 0 || res.Detail != "" {
		t.Errorf("a second run: %+v, %v", res, err)
	}
}

func TestRotateLogsByAge(t *testing.T) {
	dir, p, o := logPolicy(t)
	p.MaxAge = units.Duration(24 * time.Hour)
	old := rotated(t, &o, dir, "app.log", 24*time.Hour, true)
	young := rotated(t, &o, dir, "app.log", 23*time.Hour, true)
	// A name that lies: the file was written just now.
	liar := policy.RotatedName("lie.log", o.Now().Add(-90*24*time.Hour), 1, true)
	put(t, filepath.Join(dir, liar), 10, 0)
	res, err := newRotateLogs(o, []policy.Log{p}).Run(t.Context(), Request{})
	if err != nil || res.Files != 1 || res.Skipped["too_young"] != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	if diff := gocmp.Diff([]string{young, liar}, left(t, dir)); diff != "" {
		t.Errorf("left, without %s (-want +got):\n%s", old, diff)
	}
}

func TestRotateLogsCompresses(t *testing.T) {
	dir, p, o := logPolicy(t)
	p.Compress = true
	text := strings.Repeat("a line of the log\n", 500)
	path := filepath.Join(dir, rotated(t, &o, dir, "app.log", time.Hour, false))
	held := filepath.Join(dir, rotated(t, &o, dir, "held.log", time.Hour, false))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Now(), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	put(t, dir+"/app.log", 5000, 0)
	f, err := os.OpenFile(held, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before := left(t, dir)
	for _, dry := range []bool{true, false} {
		res, err := newRotateLogs(o, []policy.Log{p}).Run(t.Context(), Request{DryRun: dry})
		if err != nil || res.Files != 0 || res.Policies[0].Rotated != 1 || res.Skipped["in_use"] != 1 {
			t.Errorf("dry run %v: %+v, %v", dry, res, err)
		}
		if dry {
			if diff := gocmp.Diff(before, left(t, dir)); diff != "" {
				t.Errorf("a dry run changed the folder:\n%s", diff)
			}
		}
	}
	made := policy.RotatedName("app.log", o.Now(), 1, true)
	if diff := gocmp.Diff([]string{"app.log", filepath.Base(path) + ".gz", made, filepath.Base(held)}, left(t, dir)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	raw, err := os.ReadFile(path + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(zip); string(got) != text {
		t.Errorf("compressed: %d bytes, %v, want %d", len(got), err, len(text))
	}
}

// TestRotateByRename: the log is renamed, its writer is notified and opens a new one.
func TestRotateByRename(t *testing.T) {
	dir, p, o := logPolicy(t)
	p.Rotate, p.Signal = policy.RotateRename, "SIGUSR1"
	log := dir + "/app.log"
	put(t, log, 5000, 0)
	open := "exec 3>>" + log
	h, members := startHandler(t, "trap '"+open+"; echo next >&3; echo heard' USR1; "+open)
	o.Members = members
	for _, dry := range []bool{true, false} {
		res, err := newRotateLogs(o, []policy.Log{p}).Run(t.Context(), Request{DryRun: dry})
		if err != nil || res.Policies[0].Rotated != 1 || res.Policies[0].Error != "" {
			t.Fatalf("dry run %v: %+v, %v", dry, res, err)
		}
		if dry && len(left(t, dir)) != 1 {
			t.Errorf("a dry run changed the folder: %v", left(t, dir))
		}
	}
	if got := h.next(t); got != "heard" {
		t.Errorf("the writer says %q", got)
	}
	if raw, err := os.ReadFile(log); string(raw) != "next\n" {
		t.Errorf("the new log: %q, %v", raw, err)
	}
	if info, err := os.Stat(filepath.Join(dir, policy.RotatedName("app.log", o.Now(), 1, false))); err != nil || info.Size() != 5000 {
		t.Errorf("the rotated log: %v", err)
	}
}

// Where no one would open a new log, nothing is renamed; what has been rotated is trimmed all the
// same.
func TestRotateByRenameTellsNobody(t *testing.T) {
	dir, p, o := logPolicy(t)
	p.Rotate, p.Signal = policy.RotateRename, "SIGUSR1"
	_, members := startHandler(t, "trap 'echo heard' USR2")
	for name, want := range map[string]string{"handles another": "no handler", "gone": "no process of the target"} {
		o.Members = members
		if name == "gone" {
			o.Members = nil
		}
		put(t, dir+"/a.log", 5000, 0)
		put(t, dir+"/b.log", 5000, 0)
		for i := range 3 {
			rotated(t, &o, dir, "a.log", time.Duration(i+1)*time.Hour, false)
		}
		for _, dry := range []bool{true, false} {
			res, err := newRotateLogs(o, []policy.Log{p}).Run(t.Context(), Request{DryRun: dry})
			if err != nil || !strings.Contains(res.Detail, want) || res.Skipped["not_handled"] != 2 || res.Files != 1 || res.Policies[0].Rotated != 0 || res.Outcome == Done {
				t.Errorf("%s, dry run %v: %+v, %v", name, dry, res, err)
			}
		}
		if got := len(left(t, dir)); got != 4 {
			t.Errorf("%s: %v", name, left(t, dir))
		}
	}
}

func TestMaxRemoveFractionOfLogs(t *testing.T) {
	dir, p, o := logPolicy(t)
	for i := range 10 {
		rotated(t, &o, dir, "app.log", time.Duration(i+1)*time.Hour, false)
	}
	share := units.Ratio(.5)
	p.MaxRemoveFraction = &share
	res, err := newRotateLogs(o, []policy.Log{p}).Run(t.Context(), Request{})
	if err != nil || !strings.Contains(res.Detail, ErrTooMany.Error()) || len(left(t, dir)) != 10 {
		t.Errorf("%+v, %v", res, err)
	}
	if res, err := newRotateLogs(o, []policy.Log{p}).Run(t.Context(), Request{Force: true}); err != nil || res.Files != 8 {
		t.Errorf("forced: %+v, %v", res, err)
	}
}

// Two rotations at once: the lock lets one of them have a log, and not one byte is lost.
func TestTwoRotationsAtOnce(t *testing.T) {
	dir, p, o := logPolicy(t)
	const logs = 40
	p.MaxBytes = 100_000 // more than what is left of a log that loses its front
	for i := range logs {
		put(t, fmt.Sprintf("%s/%02d.log", dir, i), 200_000, 0)
	}
	done := make(chan int64)
	for range 2 {
		go func() {
			res, err := newRotateLogs(o, []policy.Log{p}).Run(context.Background(), Request{})
			if err != nil {
				t.Error(err)
			}
			done <- res.Policies[0].Rotated
		}()
	}
	if n := <-done + <-done; n != logs {
		t.Errorf("%d rotations of %d logs", n, logs)
	}
	var sum int64
	for _, name := range left(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	if n := len(left(t, dir)); n != 2*logs || sum != logs*200_000 {
		t.Errorf("%d files with %d bytes, want %d and %d", n, sum, 2*logs, logs*200_000)
	}
}

// A log whose writer would leave a hole stays whole, and the run says what to do about it.
func TestRotateLogsOfAWriterThatDoesNotAppend(t *testing.T) {
	dir, p, o := logPolicy(t)
	put(t, dir+"/app.log", 5000, 0)
	put(t, dir+"/other.log", 5000, 0)
	f, err := os.OpenFile(dir+"/app.log", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, dry := range []bool{true, false} {
		res, err := newRotateLogs(o, []policy.Log{p}).Run(t.Context(), Request{DryRun: dry})
		if err != nil || res.Skipped["not_appending"] != 1 || res.Policies[0].Rotated != 1 {
			t.Errorf("dry run %v: %+v, %v", dry, res, err)
		}
		if !dry && (res.Outcome != Partial || !strings.Contains(res.Detail, "O_APPEND") || !strings.Contains(res.Detail, "rotate: rename")) {
			t.Errorf("outcome %q, %s", res.Outcome, res.Detail)
		}
	}
	if info, err := os.Stat(dir + "/app.log"); err != nil || info.Size() != 5000 {
		t.Errorf("the log has %d bytes, %v", info.Size(), err)
	}
}

// What makes a rotation partial although every log was rotated is said, one by one.
func TestRotateLogsReports(t *testing.T) {
	l := &logRun{dirRun: &dirRun{ctx: t.Context(), opts: &DirOptions{Logger: slog.New(slog.DiscardHandler)}, res: PolicyResult{Skipped: map[string]int64{"busy": 2}, Outcome: Done}}, p: &policy.Log{}}
	e := &dirscan.Entry{Name: []byte("app.log"), Parent: &dirscan.Folder{}}
	l.rotated(e, safefs.Rotated{Name: "a", LostBytes: 17, MayHaveLost: true, Private: true}, safefs.Removed)
	l.report()
	l.finish(nil)
	if text := detailLogs([]PolicyResult{l.res}, false); l.res.MayHaveLost != 1 || text != "rotated 1 logs; for 1 of them a loss in the moment of the cut cannot be ruled out" {
		t.Errorf("%d, %s", l.res.MayHaveLost, text)
	}
	if l.res.Outcome != Partial || l.res.LostBytes != 17 || l.res.Rotated != 1 {
		t.Errorf("%+v", l.res)
	}
	for _, want := range []string{"17 bytes were written", "2 logs were not cut", "1 rotated logs lost their access list or security label"} {
		if !strings.Contains(l.res.Error, want) {
			t.Errorf("%q is not said: %s", want, l.res.Error)
		}
	}
}
