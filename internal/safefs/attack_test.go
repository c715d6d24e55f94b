package safefs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/refuse"
)

// both makes a dry run and then a run, and wants the same of both.
func both(t *testing.T, o Options, want map[string]Reason) {
	t.Helper()
	for _, dry := range []bool{true, false} {
		o.DryRun = dry
		if diff := cmp.Diff(want, removeAll(t, o, nil)); diff != "" {
			t.Errorf("dry run %v (-want +got):\n%s", dry, diff)
		}
	}
	for name, why := range want {
		if path := filepath.Join(o.Dir, name); exists(path) != (why != Removed) {
			t.Errorf("%q exists: %v, with reason %q", name, exists(path), why)
		}
	}
}

func TestHeldByAnotherProcess(t *testing.T) {
	dir := tempDir(t)
	want := map[string]Reason{"free": Removed}
	aged(t, dir+"/free")
	for _, what := range []string{"read", "write", "map", "lock"} {
		aged(t, dir+"/"+what)
		holdElsewhere(what)(t, dir+"/"+what)
		want[what] = InUse
	}
	both(t, Options{Dir: dir, MinAge: time.Minute}, want)
}

// TestLeaseBroken: who opens a file that is about to go waits for us, and is noticed.
func TestLeaseBroken(t *testing.T) {
	dir := tempDir(t)
	path := dir + "/a"
	aged(t, path)
	var st unix.Statx_t
	if err := statPath(unix.AT_FDCWD, path, 0, statMask, &st); err != nil {
		t.Fatal(err)
	}
	id := Identity{st.Ino, st.Dev_major, st.Dev_minor, int64(st.Size), dirscan.Nanoseconds(&st.Mtime), dirscan.Nanoseconds(&st.Ctime)}
	folder, err := dirscan.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(folder)
	r := NewRemover(Options{Dir: dir, Now: time.Now()})
	defer r.Close()
	r.name = []byte("a\x00")
	fd, why := r.hold(folder, id)
	if why != Removed || !r.leased {
		t.Skipf("no lease here: %q", why)
	}
	if r.broken(fd) {
		t.Fatal("the lease is broken before anybody came")
	}
	_, out := start(t, "open", path)
	for deadline := time.Now().Add(20 * time.Second); !r.broken(fd); {
		if time.Now().After(deadline) {
			t.Fatal("nobody came for the file, or it was not noticed")
		}
	}
	unix.Close(fd)
	if line, err := out.ReadString('\n'); line != "\"content\" <nil>\n" {
		t.Errorf("who waited for the file got %q, %v", line, err)
	}
	if got := removeAll(t, Options{Dir: dir}, nil); got["a"] != Removed {
		t.Errorf("afterwards: %v, want it removed", got)
	}
}

// TestKindsAndNames: whatever lies in a folder, and however it is called, only aged regular files go.
func TestKindsAndNames(t *testing.T) {
	dir := tempDir(t)
	want := map[string]Reason{}
	for _, name := range []string{"a\nb", "-rf", "--", " ", "\"'`$(x)", "\xff\xfe", strings.Repeat("x", 255), "…", "*", "\\", "\x1b[2J"} {
		aged(t, dir+"/"+name)
		want[name] = Removed
	}
	if err := os.WriteFile(dir+"/sparse", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	os.Truncate(dir+"/sparse", 1<<40)
	os.Chtimes(dir+"/sparse", old, old)
	want["sparse"] = Removed
	others := []string{"fifo", "socket", "link", "dangling", "folder.tmp"}
	unix.Mkfifo(dir+"/fifo", 0o644)
	unix.Mknod(dir+"/socket", unix.S_IFSOCK|0o644, 0)
	os.Symlink("/etc/passwd", dir+"/link")
	os.Symlink("/nowhere", dir+"/dangling")
	os.Mkdir(dir+"/folder.tmp", 0o755)
	if unix.Mknod(dir+"/device", unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))) == nil {
		others = append(others, "device")
	}
	both(t, Options{Dir: dir, MinAge: time.Minute}, want)
	for _, name := range others {
		if !exists(dir + "/" + name) {
			t.Errorf("%s is gone", name)
		}
	}
}

// TestTimesOutOfRange: a file of a far future is not taken for one of the past.
func TestTimesOutOfRange(t *testing.T) {
	dir := tempDir(t)
	want := map[string]Reason{}
	for year, why := range map[int64]Reason{1902: Removed, 1970: Removed, 2200: Future, 2400: Future} {
		name := fmt.Sprint(year)
		aged(t, dir+"/"+name)
		sec := time.Date(int(year), 1, 2, 0, 0, 0, 0, time.UTC).Unix()
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, dir+"/"+name, []unix.Timespec{{Sec: sec}, {Sec: sec}}, 0); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if unix.Stat(dir+"/"+name, &st); st.Mtim.Sec == sec { // not every filesystem can
			want[name] = why
		} else {
			os.Remove(dir + "/" + name)
		}
	}
	both(t, Options{Dir: dir, MinAge: time.Minute}, want)
}

func TestMounts(t *testing.T) {
	withMounts(t, func() {
		dir, outside := tempDir(t), tempDir(t)
		aged(t, dir+"/free")
		aged(t, dir+"/mountpoint")
		aged(t, outside+"/f")
		for _, sub := range []string{"tmpfs", "bind", "found"} {
			os.Mkdir(dir+"/"+sub, 0o755)
		}
		mount := func(source, target, kind string, flags uintptr) {
			if err := unix.Mount(source, target, kind, flags, ""); err != nil {
				t.Errorf("mount %s: %v", target, err)
			}
		}
		mount("none", dir+"/tmpfs", "tmpfs", 0)
		aged(t, dir+"/tmpfs/f")
		mount(outside, dir+"/bind", "", unix.MS_BIND)
		// A file over a file, on the same device, between the look and the removal.
		for _, o := range []Options{{DryRun: true}, {Strict: true}, {}, {Now: time.Now().Add(coarsest)}} {
			o.Dir, o.MinAge = dir, time.Minute
			got := removeAll(t, o, func(e *dirscan.Entry) {
				if string(e.Name) == "mountpoint" {
					mount(outside+"/f", dir+"/mountpoint", "", unix.MS_BIND)
				}
			})
			if got["mountpoint"] != Changed && got["mountpoint"] != Mount {
				t.Errorf("%+v: reasons %v, want that the mount point stays", o, got)
			}
			if err := unix.Unmount(dir+"/mountpoint", unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}
		got := removeAll(t, Options{Dir: dir, DryRun: true}, func(e *dirscan.Entry) {
			if string(e.Name) == "mountpoint" {
				mount(dir+"/mountpoint", dir+"/mountpoint", "", unix.MS_BIND) // it over itself
			}
		})
		// Without statx only the kernel's answer to the removal would say it.
		if got["mountpoint"] != Mount && !strings.Contains(os.Getenv(refuse.Variable), "statx") {
			t.Errorf("mounted over itself: reasons %v, want a mount", got)
		}
		for _, dry := range []bool{true, false} {
			if got := removeAll(t, Options{Dir: dir, DryRun: dry}, nil); got["mountpoint"] != "" && got["mountpoint"] != Mount {
				t.Errorf("dry run %v: reasons %v, want that the mount point stays as one", dry, got)
			}
		}
		if !exists(dir+"/tmpfs/f") || !exists(outside+"/f") || !exists(dir+"/mountpoint") || exists(dir+"/free") {
			t.Error("a file behind a mount is gone, or one before it stays")
		}

		// A mount that appears between the look and the removal.
		aged(t, dir+"/found/f")
		r := NewRemover(Options{Dir: dir, MinAge: time.Minute, AgeNs: byMtime, Now: time.Now()})
		defer r.Close()
		var found []Found
		if _, err := dirscan.Scan(t.Context(), dirscan.Options{Dir: dir, Recursive: true, Visit: func(e *dirscan.Entry) error {
			if string(e.Name) == "f" {
				found = append(found, r.Find(e))
			}
			return nil
		}}); err != nil || len(found) != 1 {
			t.Errorf("found %v, %v, want one file", found, err)
			return
		}
		mount(outside, dir+"/found", "", unix.MS_BIND)
		if _, why := r.RemoveFound(found[0]); why != Mount || !exists(outside+"/f") {
			t.Errorf("behind a mount that has appeared: %q, want %q", why, Mount)
		}

		// A root that is a mount of its own is normal, and one that is read-only is not written to.
		own := dir + "/tmpfs"
		both(t, Options{Dir: own, MinAge: time.Minute}, map[string]Reason{"f": Removed})
		aged(t, own+"/g")
		if err := unix.Mount("", own, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Errorf("remount: %v", err)
		}
		both(t, Options{Dir: own, MinAge: time.Minute}, map[string]Reason{"g": "error_EROFS"})
	})
}

// TestOverlay: in the filesystem of a container, files of the image and files of the container are
// checked alike.
func TestOverlay(t *testing.T) {
	top := tempDir(t)
	withMounts(t, func() {
		if err := unix.Mount("none", top, "tmpfs", 0, ""); err != nil {
			t.Errorf("mount: %v", err)
			return
		}
		dir := top + "/merged"
		for _, sub := range []string{"/lower", "/upper", "/work", "/merged"} {
			os.Mkdir(top+sub, 0o755)
		}
		for _, name := range []string{"lower/image", "lower/image-held", "upper/own", "upper/own-held"} {
			aged(t, top+"/"+name)
		}
		if err := unix.Mount("overlay", dir, "overlay", 0, fmt.Sprintf("lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", top, top, top)); err != nil {
			t.Logf("no overlay here: %v", err)
			return
		}
		holdElsewhere("read")(t, dir+"/image-held")
		holdElsewhere("map")(t, dir+"/own-held")
		both(t, Options{Dir: dir, MinAge: time.Minute}, map[string]Reason{"image": Removed, "image-held": InUse, "own": Removed, "own-held": InUse})
	})
}

// TestRightsAreForeseen: a dry run names no file that the kernel would not let a run remove.
func TestRightsAreForeseen(t *testing.T) {
	dir := tempDir(t)
	os.Chmod(filepath.Dir(dir), 0o755)
	const nobody = 65534
	folder := func(name string, mode os.FileMode, folderOwner, fileOwner int) {
		aged(t, dir+"/"+name+"/f")
		os.Chmod(dir+"/"+name, mode)
		os.Chown(dir+"/"+name, folderOwner, folderOwner)
		os.Chown(dir+"/"+name+"/f", fileOwner, fileOwner)
	}
	if os.Geteuid() == 0 {
		folder("own", 0o755, nobody, nobody)
		folder("not-writable", 0o755, 0, nobody)
		folder("sticky-own-file", 0o777|os.ModeSticky, 0, nobody)
		folder("sticky-own-folder", 0o777|os.ModeSticky, nobody, nobody)
		folder("unsearchable", 0o644, 0, nobody)
		folder("others-file", 0o777, 0, 0)
	}
	asNobody(t, func() {
		both(t, Options{Dir: dir, MinAge: time.Minute}, map[string]Reason{
			"own/f": Removed, "not-writable/f": "error_EACCES", "sticky-own-file/f": Removed, "sticky-own-folder/f": Removed,
			// Root's file could be open in a process of root, which no one may look into.
			"others-file/f": NoLease,
		})
	})
	// With the in-use check left out the sticky bit shows.
	folder("sticky", 0o777|os.ModeSticky, 0, 0)
	asNobody(t, func() {
		got := removeAll(t, Options{Dir: dir + "/sticky", MinAge: time.Minute, NoInUse: true, DryRun: true}, nil)
		real := removeAll(t, Options{Dir: dir + "/sticky", MinAge: time.Minute, NoInUse: true}, nil)
		if got["f"] != "error_EPERM" || real["f"] != "error_EPERM" {
			t.Errorf("dry run %v, run %v, want error_EPERM of both", got, real)
		}
	})
}

func TestImmutableIsForeseen(t *testing.T) {
	dir := tempDir(t)
	for _, sub := range []string{"immutable", "append"} {
		aged(t, dir+"/"+sub+"/f")
	}
	aged(t, dir+"/f")
	setFlags := func(path string, flags int) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
	}
	for path, flags := range map[string]int{dir + "/f": unix.STATX_ATTR_IMMUTABLE, dir + "/immutable": unix.STATX_ATTR_IMMUTABLE, dir + "/append": unix.STATX_ATTR_APPEND} {
		if err := setFlags(path, flags); err != nil {
			t.Skipf("no such flags here: %v", err)
		}
		t.Cleanup(func() { setFlags(path, 0) })
	}
	both(t, Options{Dir: dir, MinAge: time.Minute}, map[string]Reason{"f": "error_EPERM", "immutable/f": "error_EPERM", "append/f": "error_EPERM"})
}

// TestNoLease: where a lease is refused the open descriptors decide, and what cannot be seen stays.
func TestNoLease(t *testing.T) {
	o := &openFiles{hidden: map[uint32]bool{7: true}}
	if !o.hides(7) || o.hides(8) {
		t.Error("want the files of user 7 in doubt, not those of 8")
	}
	root := tempDir(t)
	os.MkdirAll(root+"/2/fd", 0o755)
	if o = scanOpenFiles(root); !o.hidesAll || !o.hides(uint32(os.Geteuid()+1)) || o.hides(uint32(os.Geteuid())) {
		t.Errorf("the first process is not listed: %+v, want everybody else's files in doubt", o)
	}
	os.MkdirAll(root+"/1/fd", 0o755)
	if o = scanOpenFiles(root); o.hidesAll {
		t.Error("the first process is listed: want no files in doubt")
	}
	if o = scanOpenFiles(root + "/missing"); !o.hides(uint32(os.Geteuid() + 1)) {
		t.Error("no /proc at all: want everybody else's files in doubt")
	}
}

// TestKilledStrictRun kills a strict run at random moments. Nothing that was not due is ever gone,
// nothing is lost in the holding folder, and the next run finishes.
func TestKilledStrictRun(t *testing.T) {
	dir := tempDir(t)
	random := rand.New(rand.NewPCG(3, 4))
	swept, cut := int64(0), 0
	for range 20 {
		const n = 400
		for i := range n {
			aged(t, fmt.Sprintf("%s/due%d", dir, i))
		}
		for i := range 20 {
			if err := os.WriteFile(fmt.Sprintf("%s/young%d", dir, i), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		cmd, out := start(t, "remove strictly", dir)
		if line, err := out.ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatal(line, err)
		}
		for left, until := n, random.IntN(n); left > until; { // it does not begin with the first
			names, _ := os.ReadDir(dir)
			left = len(names) - 21
		}
		cmd.Process.Kill()
		cmd.Wait()
		if left, _ := filepath.Glob(dir + "/due*"); len(left) > 0 && len(left) < n {
			cut++
		}
		for i := range 20 {
			if !exists(fmt.Sprintf("%s/young%d", dir, i)) {
				t.Fatalf("young%d is gone: it was not due", i)
			}
		}
		r := NewRemover(Options{Dir: dir, Now: time.Now()})
		n2, _, err := r.Sweep(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		swept += n2
		left, err := r.Leftovers()
		r.Close()
		if err != nil || left != 0 {
			t.Fatalf("%d files are left in the quarantine, %v", left, err)
		}
		removeAll(t, Options{Dir: dir, MinAge: time.Minute}, nil)
		for i := range n {
			if exists(fmt.Sprintf("%s/due%d", dir, i)) {
				t.Fatalf("due%d is still there", i)
			}
		}
	}
	if cut == 0 {
		t.Error("no run was killed in its middle: the test has tested nothing")
	}
	t.Logf("%d of 20 runs were killed in the middle, %d files were in the quarantine then", cut, swept)
}

// TestSweep: what a killed run has moved away goes if it is what was judged, and stays if not.
func TestSweep(t *testing.T) {
	dir := tempDir(t)
	private := filepath.Join(dir, policy.HoldingName)
	aged(t, dir+"/f")
	r := NewRemover(Options{Dir: dir, Now: time.Now()})
	defer r.Close()
	if n, _, err := r.Sweep(t.Context()); n != 0 || err != nil {
		t.Fatalf("no holding folder: %d, %v", n, err)
	}
	makeHolding(t, dir)
	hold := func(name string, change func(*Identity)) string {
		aged(t, private+"/"+name)
		var st unix.Statx_t
		if err := statPath(unix.AT_FDCWD, private+"/"+name, 0, statMask, &st); err != nil {
			t.Fatal(err)
		}
		id := Identity{Ino: st.Ino, SizeBytes: int64(st.Size), MtimeNs: dirscan.Nanoseconds(&st.Mtime)}
		change(&id)
		held := private + "/" + id.holdingPrefix() + name
		if err := os.Rename(private+"/"+name, held); err != nil {
			t.Fatal(err)
		}
		return held
	}
	same := hold("1-1", func(*Identity) {})
	kept := []string{
		hold("1-2", func(id *Identity) { id.Ino++ }), hold("1-3", func(id *Identity) { id.SizeBytes-- }),
		hold("1-4", func(id *Identity) { id.MtimeNs++ }), hold("1-5", func(*Identity) {}), private + "/by-hand",
	}
	aged(t, private+"/by-hand")
	keepOpen(t, kept[3], os.O_RDONLY)
	dry := NewRemover(Options{Dir: dir, Now: time.Now(), DryRun: true})
	if n, _, err := dry.Sweep(t.Context()); n != 0 || err != nil || !exists(same) {
		t.Errorf("a dry run swept %d, %v", n, err)
	}
	n, freed, err := r.Sweep(t.Context())
	if n != 1 || freed == 0 || err != nil || exists(same) {
		t.Errorf("swept %d, freed %d, %v; want one", n, freed, err)
	}
	if missing := slices.DeleteFunc(slices.Clone(kept), exists); len(missing) > 0 {
		t.Errorf("%q are gone", missing)
	}
	if left, err := r.Leftovers(); left != len(kept) || err != nil {
		t.Errorf("%d left, %v, want %d", left, err, len(kept))
	}
	os.Chmod(private, 0o755)
	again := hold("1-6", func(*Identity) {})
	if n, _, err := r.Sweep(t.Context()); n != 0 || err != nil || !exists(again) {
		t.Errorf("of a folder that others may enter %d were swept, %v", n, err)
	}
	if left, err := r.Leftovers(); left != 0 || err != nil {
		t.Errorf("%d left in a folder that others may enter, %v", left, err)
	}
}
