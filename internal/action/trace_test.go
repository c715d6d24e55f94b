package action

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/hitrate"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// observe watches folders as any other program may, and returns a function that says what has
// happened to the files in them since.
func observe(t *testing.T, dirs ...string) (events func() []string) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	for _, dir := range dirs {
		if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_ALL_EVENTS); err != nil {
			t.Fatal(err)
		}
	}
	return func() (out []string) {
		buf := make([]byte, 64<<10)
		for {
			n, err := unix.Read(fd, buf)
			if err != nil {
				return out
			}
			for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
				mask, size := binary.NativeEndian.Uint32(b[4:]), unix.SizeofInotifyEvent+int(binary.NativeEndian.Uint32(b[12:]))
				if name := bytes.TrimRight(b[unix.SizeofInotifyEvent:size], "\x00"); mask&unix.IN_ISDIR == 0 {
					out = append(out, fmt.Sprintf("%s %#x", name, mask))
				}
				b = b[size:]
			}
		}
	}
}

// dryRuns are one action of each kind over one folder, with something to do by each of its rules.
func dryRuns(dir string) map[string]Action {
	half := units.Ratio(.5)
	guarded := common(dir)
	guarded.MaxRemoveFraction = new(units.Ratio(1))
	strict := guarded
	strict.Strict = true
	logs := guarded
	logs.Include = []string{"*.log"}
	members := dirOptions()
	temp := policy.Temp{Common: guarded, MaxAge: units.Duration(20 * time.Hour), EmptyMaxAge: units.Duration(time.Hour), MaxFiles: 5}
	strictTemp := temp
	strictTemp.Common = strict
	return map[string]Action{
		"clean_temp":          newCleanTemp(dirOptions(), []policy.Temp{temp}),
		"clean_temp, strict":  newCleanTemp(dirOptions(), []policy.Temp{strictTemp}),
		"evict_cache":         newEvictCache(dirOptions(), []policy.Cache{{Common: guarded, MaxAge: units.Duration(20 * time.Hour), MaxEntries: 8, EvictTo: &half}}),
		"enforce_uploads":     newEnforceUploads(dirOptions(), []policy.Upload{{Common: guarded, MaxAge: units.Duration(20 * time.Hour), MaxFileBytes: 3000, MaxBytes: 4000}}),
		"rotate_logs":         newRotateLogs(dirOptions(), []policy.Log{{Common: logs, MaxBytes: 1000, KeepFiles: new(int64(1)), Compress: true}}),
		"rotate_logs, rename": newRotateLogs(members, []policy.Log{{Common: logs, MaxBytes: 1000, KeepFiles: new(int64(1)), Compress: true, Rotate: policy.RotateRename, Signal: "SIGHUP"}}),
	}
}

// TestDryRunOpensNothing: whoever watches the opens of the files, such as a running exporter that
// infers the hits of a cache, sees nothing of a dry run.
func TestDryRunOpensNothing(t *testing.T) {
	dir := realDir(t)
	for i := range 30 {
		put(t, fmt.Sprintf("%s/f%02d", dir, i), i%4*1000, time.Duration(i+1)*time.Hour)
	}
	put(t, dir+"/app.log", 5000, time.Hour)
	for _, at := range []string{"20250101T000000Z", "20250102T000000Z", "20250103T000000Z"} {
		put(t, dir+"/app.log."+at, 2000, 48*time.Hour)
	}
	events := observe(t, dir)
	for name, a := range dryRuns(dir) {
		res, err := a.Run(t.Context(), Request{DryRun: true})
		if got := events(); err != nil || len(got) > 0 {
			t.Errorf("%s: %v; %d events, such as %v; want none", name, err, len(got), got[:min(3, len(got))])
		}
		if res.Files == 0 && name != "rotate_logs, rename" {
			t.Errorf("%s would remove nothing: the test has tested nothing", name)
		}
	}
	put(t, dir+"/f", 1, time.Hour)
	if len(events()) == 0 {
		t.Error("a file was written and nothing was seen: the test has tested nothing")
	}
}

// TestDryRunKeepsTheOrder: a plan that another process makes does not use the files: the hot ones
// survive the next eviction.
func TestDryRunKeepsTheOrder(t *testing.T) {
	dir := realDir(t)
	for i := range 20 { // noatime: the times on disk say nothing of the use
		put(t, fmt.Sprintf("%s/f%02d", dir, i), 10, time.Duration(100-i)*time.Hour)
	}
	pool := hitrate.NewPool(time.Now, nil)
	t.Cleanup(func() { _ = pool.Close() })
	watch, err := pool.Get(hitrate.Cache{Name: "p", Dir: dir}, func([]byte) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	root, err := dirscan.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	if err := watch.Follow(root, nil); err != nil {
		t.Fatal(err)
	}
	watch.End()
	hot := []string{"f00", "f01", "f02", "f03", "f04"}
	for _, name := range hot {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDONLY|unix.O_NOATIME, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	counts := func() hitrate.Counts {
		watch.CatchUp()
		c, err := watch.Counts()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := counts(); c.Hits != uint64(len(hot)) {
		t.Fatalf("%d hits, want %d", c.Hits, len(hot))
	}
	cold := policy.Cache{Common: common(dir), MaxEntries: 10, EvictTo: new(units.Ratio(.5))}
	other := newEvictCache(dirOptions(), []policy.Cache{cold}) // knows nothing of the watch
	for range 2 {
		if res, err := other.Run(t.Context(), Request{DryRun: true}); err != nil || res.Files != 15 {
			t.Fatal(res, err)
		}
	}
	if c := counts(); c.Hits != uint64(len(hot)) || c.Misses != 0 {
		t.Errorf("after the dry runs of another: %+v, want %d hits and no misses", c, len(hot))
	}
	o := dirOptions()
	o.Opens = map[string]Opens{"p": watch}
	if _, err := newEvictCache(o, []policy.Cache{cold}).Run(t.Context(), Request{}); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(hot, left(t, dir)); diff != "" {
		t.Errorf("left (-hot +got):\n%s", diff)
	}
}

// TestDryRunSeesWhatIsOpen: without opening anything a dry run passes over what a run passes over:
// files that are open, mapped or locked.
func TestDryRunSeesWhatIsOpen(t *testing.T) {
	dir := realDir(t)
	for _, name := range []string{"free", "locked", "mapped", "open"} {
		put(t, filepath.Join(dir, name), 4096, time.Hour)
	}
	open := func(name string, flags int) *os.File {
		f, err := os.OpenFile(filepath.Join(dir, name), flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	open("open", os.O_RDONLY)
	if err := unix.Flock(int(open("locked", os.O_RDONLY).Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	f := open("mapped", os.O_RDONLY)
	m, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m)
	f.Close()
	p := policy.Temp{Common: common(dir), MaxAge: units.Duration(time.Minute)}
	for _, dry := range []bool{true, false} {
		got, res := named(t, dry, Request{}, func(o DirOptions) Action { return newCleanTemp(o, []policy.Temp{p}) })
		if !slices.Equal(got, []string{"expired free"}) || res.Skipped["in_use"] != 3 {
			t.Errorf("dry run %v: %v, skipped %v; want only the free one and 3 in use", dry, got, res.Skipped)
		}
	}
}
