package action

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const aDay = units.Duration(24 * time.Hour)

// runLogs runs a policy as it would be dry, and then for real, and returns the real result. A dry run
// changes nothing and foresees the same.
func runLogs(t *testing.T, o DirOptions, p *policy.Log) PolicyResult {
	t.Helper()
	var results [2]PolicyResult
	before := left(t, p.Dir)
	for i, dry := range []bool{true, false} {
		res, err := newRotateLogs(o, []policy.Log{*p}).Run(t.Context(), Request{DryRun: dry})
		if err != nil {
			t.Fatal(err)
		}
		results[i] = res.Policies[0]
		if diff := gocmp.Diff(before, left(t, p.Dir)); dry && diff != "" {
			t.Errorf("a dry run changed the folder:\n%s", diff)
		}
	}
	if d, r := results[0], results[1]; d.Rotated != r.Rotated || d.Files != r.Files || !gocmp.Equal(d.Skipped, r.Skipped) {
		t.Errorf("the dry run foresaw %d rotated, %d removed, %v; it was %d, %d, %v", d.Rotated, d.Files, d.Skipped, r.Rotated, r.Files, r.Skipped)
	}
	return results[1]
}

// needsBirth skips a test where it cannot be known when a file was made.
func needsBirth(t *testing.T) {
	t.Helper()
	dir := realDir(t)
	put(t, dir+"/file", 1, 0)
	if _, err := dirscan.Scan(t.Context(), dirscan.Options{Dir: dir, Visit: func(e *dirscan.Entry) error {
		if safefs.Born(e).IsZero() {
			t.Skip("it is not known when a file was made")
		}
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
}

// A log of which nothing says how old it is, is rotated once, and is as old as that from then on.
func TestRotateOnceWhatNothingIsKnownOf(t *testing.T) {
	dir, p, o := logPolicy(t)
	p.MaxBytes, p.RotateAfter = 0, aDay
	put(t, dir+"/app.log", 10, time.Hour)
	latest := policy.NewLatest(&p)
	if !latest.Aged(nil, []byte("app.log"), o.Now(), func() time.Time { return time.Time{} }) {
		t.Error("a log of unknown age is never rotated")
	}
	rotated(t, &o, dir, "app.log", time.Hour, false)
	if res := runLogs(t, o, &p); res.Rotated != 0 {
		t.Errorf("rotated %d logs whose last rotation is an hour old", res.Rotated)
	}
}

// Daily logs: each is rotated once a day, by the names of the days, and again where it is too large.
func TestRotateDaily(t *testing.T) {
	needsBirth(t)
	dir, p, o := logPolicy(t)
	p.DateExt, p.RotateAfter, p.MaxBytes = true, aDay, 1000
	p.Validate(func(key, format string, args ...any) { t.Errorf(key+" "+format, args...) })
	noon := time.Now()
	noon = time.Date(noon.Year(), noon.Month(), noon.Day(), 12, 0, 0, 0, time.Local)
	dayOf := func(n int) string { return noon.AddDate(0, 0, n).Format("20060102") }
	write := func(name string, size int) { put(t, filepath.Join(dir, name), size, time.Hour) }
	steps := []struct {
		day, hour int
		sizes     map[string]int // written before
		want      []string
	}{
		{0, 0, map[string]int{"app.log": 10, "none.log": 0}, []string{"app.log", "none.log"}}, // made today
		{1, 0, nil, []string{"app.log", "app.log-" + dayOf(1), "none.log"}},
		{1, 3, map[string]int{"app.log": 10}, []string{"app.log", "app.log-" + dayOf(1), "none.log"}},
		{1, 4, map[string]int{"app.log": 5000}, []string{"app.log", "app.log-" + dayOf(1), "app.log-" + dayOf(1) + "-2", "none.log"}}, // too large
		{2, -11, map[string]int{"app.log": 10}, []string{"app.log", "app.log-" + dayOf(1) + "-2", "app.log-" + dayOf(2), "none.log"}},
	}
	for i, s := range steps {
		for name, size := range s.sizes {
			write(name, size)
		}
		o.Now = func() time.Time { return noon.AddDate(0, 0, s.day).Add(time.Duration(s.hour) * time.Hour) }
		res := runLogs(t, o, &p)
		if diff := gocmp.Diff(s.want, left(t, dir)); diff != "" || res.Outcome != Done {
			t.Errorf("step %d: %+v (-want +got):\n%s", i, res, diff)
		}
	}
}

// Without max_bytes the schedule says how old a log gets.
func TestRotateByAge(t *testing.T) {
	needsBirth(t)
	dir, p, o := logPolicy(t)
	p.MaxBytes, p.Every = 0, units.Duration(time.Hour)
	p.Validate(func(key, format string, args ...any) { t.Errorf(key+" "+format, args...) })
	put(t, dir+"/app.log", 10, time.Hour)
	put(t, dir+"/huge.log", 100_000, time.Hour)
	if res := runLogs(t, o, &p); res.Rotated != 0 {
		t.Errorf("%d logs that were just made are rotated", res.Rotated)
	}
	start := o.Now()
	for i, after := range []time.Duration{time.Hour, 90 * time.Minute, 2 * time.Hour} {
		o.Now = func() time.Time { return start.Add(after + time.Minute) }
		put(t, dir+"/app.log", 10, time.Hour)
		if res, want := runLogs(t, o, &p), []int64{2, 0, 1}[i]; res.Rotated != want {
			t.Errorf("after %s: %d logs are rotated, want %d: %v", after, res.Rotated, want, left(t, dir))
		}
	}
}

// What is rotated goes into the folder next to each log, which is made like its own; there it is counted,
// compressed and removed, and nothing in it is a log.
func TestOldDir(t *testing.T) {
	for _, recursive := range []bool{true, false} {
		for _, rename := range []bool{true, false} {
			dir, p, o := logPolicy(t)
			p.OldDir, p.KeepFiles, p.Recursive = "old", new(int64(1)), &recursive
			if rename {
				p.Rotate, p.Signal = policy.RotateRename, "SIGUSR1"
				_, o.Members = startHandler(t, "trap 'echo heard' USR1")
			}
			for _, path := range []string{dir, dir + "/sub"} {
				put(t, path+"/app.log", 5000, 0)
				put(t, path+"/old2/app.log", 5000, 0)
				if err := os.Chmod(path, 0o770); err != nil {
					t.Fatal(err)
				}
				if err := os.Chown(path, 0, 65533); err != nil {
					t.Skipf("owners cannot be changed here: %v", err)
				}
			}
			put(t, dir+"/sub/old/mine.log", 5000, 0)
			gone := int64(1)
			if recursive { // a run that was killed has left something
				gone++
				put(t, dir+"/sub/old/"+policy.RotationTemp(7, 8), 9, time.Hour)
			}
			next := rotated(t, &o, dir, "app.log", time.Hour, false) // of before there was an olddir
			made := policy.RotatedName("app.log", o.Now(), 1, false)
			want := []string{"old/" + made, "old2/app.log", "sub/app.log", "sub/old/mine.log", "sub/old2/app.log"}
			if recursive {
				want = []string{"old/" + made, "old2/" + "old/" + made, "sub/old/" + made, "sub/old/mine.log", "sub/old2/old/" + made}
			}
			if !rename {
				want = append(want, "app.log")
				if recursive {
					want = append(want, "sub/app.log", "old2/app.log", "sub/old2/app.log")
				}
			}
			slices.Sort(want)
			before := left(t, dir)
			res, err := newRotateLogs(o, []policy.Log{p}).Run(t.Context(), Request{DryRun: true})
			if err != nil || res.Files != gone || !slices.Equal(before, left(t, dir)) {
				t.Errorf("dry run: %+v, %v, left %v", res, err, left(t, dir))
			}
			if res, err = newRotateLogs(o, []policy.Log{p}).Run(t.Context(), Request{}); err != nil || res.Files != gone {
				t.Errorf("%+v, %v, want %s removed", res.Policies, err, next)
			}
			if diff := gocmp.Diff(want, left(t, dir)); diff != "" {
				t.Errorf("recursive %v, rename %v: left (-want +got):\n%s", recursive, rename, diff)
			}
			var st unix.Stat_t
			if err := unix.Stat(dir+"/old", &st); err != nil || st.Mode&0o7777 != 0o770 || st.Uid != 0 || st.Gid != 65533 {
				t.Errorf("the folder was made with mode %o for %d:%d, %v", st.Mode, st.Uid, st.Gid, err)
			}
		}
	}
}

// An olddir on another file system is refused, and so is a link.
func TestOldDirElsewhere(t *testing.T) {
	dir, p, o := logPolicy(t)
	p.OldDir = "old"
	put(t, dir+"/a/app.log", 5000, 0)
	put(t, dir+"/b/app.log", 5000, 0)
	outside := realDir(t)
	if err := os.Symlink(outside, dir+"/b/old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/a/old", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", dir+"/a/old", "tmpfs", 0, ""); err != nil {
		t.Skipf("mounting is not permitted here: %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir+"/a/old", unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	res := runLogs(t, o, &p)
	if res.Rotated != 0 || res.Outcome != Partial || res.Skipped["olddir_mount"] != 1 || !strings.Contains(res.Error, `the olddir "old" next to them is another mount`) {
		t.Errorf("%+v", res)
	}
	if diff := gocmp.Diff([]string{"a/app.log", "b/app.log", "b/old"}, left(t, dir)); diff != "" || len(left(t, outside)) != 0 {
		t.Errorf("left (-want +got):\n%s\noutside %v", diff, left(t, outside))
	}
}

// Files that their program dates are never rotated; they expire by number and age, and are compressed,
// but for the one that is written to.
func TestSelfDatedLogs(t *testing.T) {
	dir, p, o := logPolicy(t)
	p.Include, p.SelfDated, p.MaxBytes, p.Compress, p.MaxAge = []string{"catalina.*.log", "catalina.out", "access.*"}, true, 1000, true, 30*aDay
	name := func(log string, days int, ext string) string {
		return log + o.Now().AddDate(0, 0, -days).Format("2006-01-02") + ext
	}
	for n := range 5 {
		put(t, filepath.Join(dir, name("catalina.", n, ".log")), 5000, time.Duration(n)*24*time.Hour+time.Hour)
	}
	put(t, filepath.Join(dir, name("access.", 60, "")), 5000, 60*24*time.Hour)
	put(t, filepath.Join(dir, name("access.", 61, "")), 5000, 61*24*time.Hour)
	put(t, filepath.Join(dir, name("other.", 61, ".log")), 5000, 61*24*time.Hour)
	put(t, dir+"/catalina.out", 5000, 0)
	res := runLogs(t, o, &p)
	want := []string{
		name("access.", 60, ""), "catalina.out", policy.RotatedName("catalina.out", o.Now(), 1, true),
		name("catalina.", 2, ".log.gz"), name("catalina.", 1, ".log.gz"), name("catalina.", 0, ".log"), name("other.", 61, ".log"),
	}
	slices.Sort(want)
	if diff := gocmp.Diff(want, left(t, dir)); diff != "" || res.Rotated != 1 || res.Files != 3 {
		t.Errorf("%+v, left (-want +got):\n%s", res, diff)
	}
	if res := runLogs(t, o, &p); res.Rotated != 0 || res.Files != 0 {
		t.Errorf("a second run: %+v", res)
	}
}
