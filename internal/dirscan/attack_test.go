//go:build linux && !portable

package dirscan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// descriptors returns how many this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// mount mounts and unmounts at the end, or skips the test where mounting is not permitted.
func mount(t *testing.T, source, target, fstype string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		t.Skipf("mounting %s is not permitted here: %v", fstype, err)
	}
	t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
}

// makeDeep makes nested folders, each with a file that is named after its depth, and returns the
// path of the deepest, relative to dir.
func makeDeep(t *testing.T, dir string, depth int) string {
	t.Helper()
	path := ""
	for i := range depth {
		write(t, fmt.Sprintf("%s/%sfile-%03d", dir, path, i), 1)
		path += "d/"
	}
	return strings.TrimSuffix(path, "/")
}

// What a sub-folder has become between the listing and the descent is never followed, never
// opened where that could block, and counted.
func TestScanFolderExchangedAfterTheListing(t *testing.T) {
	outside := tempDir(t)
	write(t, outside+"/stolen", 1)
	cases := []struct {
		name   string
		become func(t *testing.T, path string)
		want   Reason
	}{
		{"link to a folder", func(t *testing.T, path string) { must(t, os.Symlink(outside, path)) }, SkipSymlink},
		{"link to nothing", func(t *testing.T, path string) { must(t, os.Symlink("/nowhere", path)) }, SkipSymlink},
		{"magic link", func(t *testing.T, path string) { must(t, os.Symlink("/proc/self/root", path)) }, SkipSymlink},
		{"fifo", func(t *testing.T, path string) { must(t, unix.Mkfifo(path, 0o644)) }, SkipVanished},
		{"file", func(t *testing.T, path string) { must(t, os.WriteFile(path, nil, 0o644)) }, SkipVanished},
		{"nothing", func(*testing.T, string) {}, SkipVanished},
		{"mount", func(t *testing.T, path string) {
			must(t, os.Mkdir(path, 0o755))
			mount(t, outside, path, "", unix.MS_BIND, "")
		}, SkipMount},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := tempDir(t)
			write(t, dir+"/first", 1)
			write(t, dir+"/sub/inside", 1)
			var seen []string
			res, err := Scan(t.Context(), Options{Dir: dir, Recursive: true, Visit: func(e *Entry) error {
				seen = append(seen, string(e.AppendPath(nil)))
				if string(e.Name) == "first" { // sub has been listed or will be, and has not been opened
					must(t, os.Rename(dir+"/sub", filepath.Join(tempDir(t), "away")))
					c.become(t, dir+"/sub")
				}
				return nil
			}})
			if err != nil || !slices.Equal(seen, []string{"first"}) || res.Skipped[c.want] != 1 {
				t.Errorf("visited %q, skipped %v, %v, want the first file only and one %s", seen, res.Skipped, err, c.want)
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestScanBesideASwapper scans while a folder and a link to a folder outside change places as
// fast as they can.
func TestScanBesideASwapper(t *testing.T) {
	dir, outside := tempDir(t), tempDir(t)
	write(t, outside+"/stolen/stolen", 1)
	write(t, dir+"/sub/deeper/mine", 1)
	must(t, os.Symlink(outside, dir+"/link"))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, dir+"/sub", unix.AT_FDCWD, dir+"/link", unix.RENAME_EXCHANGE)
			}
		}
	}()
	before := descriptors(t)
	mine := 0
	for range 300 {
		_, err := Scan(t.Context(), Options{Dir: dir, Recursive: true, Visit: func(e *Entry) error {
			if string(e.Name) != "mine" {
				t.Errorf("visited %q", e.AppendPath(nil))
			}
			mine++
			return nil
		}})
		must(t, err)
	}
	close(stop)
	<-done
	if mine == 0 {
		t.Error("the folder was never seen: the test does not reach what it tests")
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// A file on which another is mounted does not belong to the tree, also when both lie on the same
// filesystem.
func TestScanStopsAtMountedFiles(t *testing.T) {
	dir := tempDir(t)
	elsewhere := tempDir(t)
	write(t, dir+"/a", 1)
	write(t, dir+"/b", 1)
	write(t, elsewhere+"/other", 1)
	mount(t, elsewhere+"/other", dir+"/b", "", unix.MS_BIND, "")
	got, res := paths(t, Options{Dir: dir})
	if !slices.Equal(got, []string{"a"}) || res.Skipped[SkipMount] != 1 {
		t.Errorf("visited %q, skipped %v, want a and one mount", got, res.Skipped)
	}
}

func TestMounted(t *testing.T) {
	w := &walker{device: fileID{dev: unix.Mkdev(8, 1)}, mounts: mounts{read: true, names: map[string]bool{}}}
	dir := tempDir(t)
	write(t, dir+"/file", 1)
	fd, err := OpenRoot(dir)
	must(t, err)
	defer unix.Close(fd)
	folder := &frame{Folder: Folder{fd: fd}}
	f := func(name string, mask, attributes uint64, minor uint32, want bool) {
		t.Helper()
		w.st = unix.Statx_t{Attributes_mask: mask, Attributes: attributes, Dev_major: 8, Dev_minor: minor}
		if got := w.mounted(folder, append([]byte(name), 0)[:len(name)]); got != want {
			t.Errorf("%s, mask %x, attributes %x, device 8:%d: mounted is %v, want %v", name, mask, attributes, minor, got, want)
		}
	}
	const root = unix.STATX_ATTR_MOUNT_ROOT
	f("file", root, root, 1, true)
	f("file", root, 0, 2, false)
	f("file", 0, 0, 1, false) // before 5.8
	f("gone", 0, 0, 1, false) // the device is the root's and nothing of the name is a mount: not looked at
	f("gone", 0, 0, 2, true)  // cannot be determined
	f("file", 0, 0, 2, false) // an overlay
	w.mounts.names["file"] = true
	f("file", 0, 0, 1, false) // there is a mount point of this name somewhere else
}

// In an overlay of two filesystems files have another device than their folder.
func TestScanOverlay(t *testing.T) {
	dir := tempDir(t)
	for _, sub := range []string{"lower", "upper", "merged"} {
		must(t, os.Mkdir(filepath.Join(dir, sub), 0o755))
	}
	mount(t, "none", dir+"/lower", "tmpfs", 0, "")
	mount(t, "none", dir+"/upper", "tmpfs", 0, "")
	must(t, os.Mkdir(dir+"/upper/work", 0o755))
	must(t, os.Mkdir(dir+"/upper/data", 0o755))
	write(t, dir+"/lower/sub/image", 1)
	mount(t, "overlay", dir+"/merged", "overlay", 0,
		fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper/data,workdir=%[1]s/upper/work,xino=off", dir))
	write(t, dir+"/merged/sub/written", 1)
	got, res := paths(t, Options{Dir: dir + "/merged", Recursive: true})
	if diff := cmp.Diff([]string{"sub/image", "sub/written"}, got); diff != "" {
		t.Errorf("visited (-want +got):\n%s\nskipped %v", diff, res.SkippedByReason())
	}
}

func TestScanDevices(t *testing.T) {
	dir := tempDir(t)
	write(t, dir+"/a", 1)
	if err := unix.Mknod(dir+"/null", unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))); err != nil {
		t.Skipf("devices cannot be made here: %v", err)
	}
	got, res := paths(t, Options{Dir: dir})
	if !slices.Equal(got, []string{"a"}) || res.Skipped[SkipNotRegular] != 1 {
		t.Errorf("visited %q, skipped %v", got, res.Skipped)
	}
}

// asNobody runs f with the rights of an ordinary user, on a thread that ends with it.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread does not come back
		var err error
		defer func() { done <- err }()
		const nobody = 65534
		if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
			err = errno
			return
		}
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, nobody, nobody, nobody); errno != 0 {
			err = errno
			return
		}
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			err = errno
			return
		}
		f()
	}()
	if err := <-done; err != nil {
		t.Skipf("the rights cannot be given up here: %v", err)
	}
}

// TestScanAsAnotherUser reads the folders of someone else (O_NOATIME is refused there) and
// counts those that may not be read or not be entered.
func TestScanAsAnotherUser(t *testing.T) {
	dir := tempDir(t)
	for up := dir; up != filepath.Clean(os.TempDir()) && up != "/"; up = filepath.Dir(up) {
		must(t, os.Chmod(up, 0o755))
	}
	write(t, dir+"/open/a", 1)
	write(t, dir+"/closed/b", 1)
	write(t, dir+"/listed/c", 1)
	must(t, os.Chmod(dir+"/closed", 0))
	must(t, os.Chmod(dir+"/listed", 0o444)) // names may be read, files may not be looked at
	defer os.Chmod(dir+"/closed", 0o755)
	defer os.Chmod(dir+"/listed", 0o755)
	var seen []string
	var res Result
	var err, rootErr error
	asNobody(t, func() {
		res, err = Scan(context.Background(), Options{Dir: dir, Recursive: true, Visit: func(e *Entry) error {
			seen = append(seen, string(e.AppendPath(nil)))
			return nil
		}})
		_, rootErr = Scan(context.Background(), Options{Dir: dir + "/closed"})
	})
	if err != nil || !slices.Equal(seen, []string{"open/a"}) || res.SkippedByReason()["error_EACCES"] != 2 {
		t.Errorf("visited %q, skipped %v, %v, want open/a and two error_EACCES", seen, res.SkippedByReason(), err)
	}
	if !errors.Is(rootErr, fs.ErrPermission) {
		t.Errorf("a root that may not be read: %v, want a permission error", rootErr)
	}
}

// Folders that go away while they are read end the listing, not the scan.
func TestScanFoldersRemovedMeanwhile(t *testing.T) {
	dir := tempDir(t)
	for i := range 20 {
		for j := range 20 {
			write(t, fmt.Sprintf("%s/%02d/%02d/file", dir, i, j), 1)
		}
	}
	visits := 0
	before := descriptors(t)
	res, err := Scan(t.Context(), Options{Dir: dir, Recursive: true, Visit: func(e *Entry) error {
		if visits++; visits == 5 { // everything, the folders that are open at present included
			names, err := os.ReadDir(dir)
			must(t, err)
			for _, n := range names {
				must(t, os.RemoveAll(filepath.Join(dir, n.Name())))
			}
		}
		return nil
	}})
	if err != nil || visits > 6 || len(res.Errnos) > 0 || res.Skipped[SkipVanished] == 0 {
		t.Errorf("%d visits, %+v, %v", visits, res, err)
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// A tree that is moved out of the root while the walk is deep inside it, beyond the levels that
// are held open, is left where it is, and what takes its place is not taken for it.
func TestScanTreeMovedOutWhileDeep(t *testing.T) {
	const depth = 3 * heldLevels
	for _, place := range []string{"nothing", "another tree", "a link to it"} {
		t.Run(place, func(t *testing.T) {
			dir, outside := tempDir(t), tempDir(t)
			grow := func(tree string) { // with something that waits on the way back up
				makeDeep(t, dir+"/"+tree, depth)
				for i := range depth {
					write(t, fmt.Sprintf("%s/%s/%se/waits", dir, tree, strings.Repeat("d/", i)), 1)
				}
			}
			grow("a")
			grow("b")
			before := descriptors(t)
			moved, late, other := "", 0, 0
			res, err := Scan(t.Context(), Options{Dir: dir, Recursive: true, Visit: func(e *Entry) error {
				tree := string(e.AppendPath(nil)[:1])
				switch {
				case moved == "" && string(e.Name) == fmt.Sprintf("file-%03d", depth-1):
					moved = tree
					must(t, os.Rename(dir+"/"+tree, outside+"/tree"))
					switch place {
					case "another tree":
						grow(tree)
					case "a link to it":
						must(t, os.Symlink(outside+"/tree", dir+"/"+tree))
					}
				case tree == moved && e.Parent.Depth() < depth-heldLevels-2: // no longer held then
					late++
				case moved != "" && tree != moved:
					other++
				}
				return nil
			}})
			if err != nil || moved == "" || late > 0 || other != 2*depth || res.Skipped[SkipVanished] == 0 {
				t.Errorf("moved %q, %d visits there after it, %d of %d in the other tree, skipped %v, %v", moved, late, other, 2*depth, res.Skipped, err)
			}
			if after := descriptors(t); after > before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

// The root is held: what takes its place during the walk is not looked at.
func TestScanRootReplacedWhileDeep(t *testing.T) {
	const depth = 3 * heldLevels
	base := tempDir(t)
	dir := base + "/root"
	makeDeep(t, dir, depth)
	var seen int
	_, err := Scan(t.Context(), Options{Dir: dir, Recursive: true, Visit: func(e *Entry) error {
		seen++
		if string(e.Name) == fmt.Sprintf("file-%03d", depth-1) {
			must(t, os.Rename(dir, base+"/old"))
			makeDeep(t, dir, depth+10)
		}
		return nil
	}})
	if err != nil || seen != depth {
		t.Errorf("visited %d files, %v, want the %d of the first root", seen, err, depth)
	}
}

// TestScanAgainstWalkDir compares random trees, some of them deeper than the levels that are held
// open, with the standard library.
func TestScanAgainstWalkDir(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			dir := tempDir(t)
			makeRandomTree(t, r, dir)
			var want []string
			var bytes, empty, folders int64
			must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				must(t, err)
				if d.IsDir() {
					folders++
				}
				if d.Type().IsRegular() {
					info, err := d.Info()
					must(t, err)
					bytes += info.Size()
					if info.Size() == 0 {
						empty++
					}
					want = append(want, strings.TrimPrefix(path, dir+"/"))
				}
				return nil
			}))
			slices.Sort(want)
			got, res := paths(t, Options{Dir: dir, Recursive: true})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("visited (-WalkDir +got):\n%s", diff)
			}
			if res.SizeBytes != bytes || res.EmptyFiles != empty || res.Folders != folders || len(res.SkippedByReason()) > 0 {
				t.Errorf("result %+v, want %d bytes, %d empty, %d folders", res, bytes, empty, folders)
			}
			got, several := paths(t, Options{Dir: dir, Recursive: true, Workers: 3})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("three walkers visited (-WalkDir +got):\n%s", diff)
			}
			if diff := cmp.Diff(res, several); diff != "" {
				t.Errorf("three walkers (-one +three):\n%s", diff)
			}
		})
	}
}

// makeRandomTree makes files and folders with names of any bytes.
func makeRandomTree(t *testing.T, r *rand.Rand, dir string) {
	t.Helper()
	name := func() string {
		b := make([]byte, 1+r.IntN(20))
		for i := range b {
			if b[i] = byte(1 + r.IntN(255)); b[i] == '/' {
				b[i] = '-'
			}
		}
		return "n" + string(b) // neither . nor ..
	}
	folders := []string{dir}
	for range 150 {
		parent := folders[len(folders)-1] // mostly deeper
		if r.IntN(4) == 0 {
			parent = folders[r.IntN(len(folders))]
		}
		sub := parent + "/" + name()
		if len(sub) > 3800 || os.Mkdir(sub, 0o755) != nil {
			continue
		}
		folders = append(folders, sub)
	}
	for range 300 {
		path := folders[r.IntN(len(folders))] + "/" + name()
		if len(path) < 4000 {
			_ = os.WriteFile(path, make([]byte, r.IntN(3)*r.IntN(9000)), 0o644) // a folder may have the name
		}
	}
}

// The walk leaves the access times of the folders as they were, so that a look changes nothing.
func TestScanLeavesAccessTimes(t *testing.T) {
	dir := tempDir(t)
	write(t, dir+"/sub/a", 1)
	old := time.Now().Add(-48 * time.Hour).Truncate(time.Second) // relatime would renew it
	for _, p := range []string{dir, dir + "/sub", dir + "/sub/a"} {
		must(t, os.Chtimes(p, old, old.Add(time.Hour)))
	}
	if _, err := Scan(t.Context(), Options{Dir: dir, Recursive: true, Visit: func(*Entry) error { return nil }}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{dir, dir + "/sub", dir + "/sub/a"} {
		var st unix.Stat_t
		must(t, unix.Stat(p, &st))
		if at := time.Unix(st.Atim.Sec, st.Atim.Nsec); !at.Equal(old) {
			t.Errorf("%s was read at %v, want %v as before", p, at, old)
		}
	}
}

// TestOpenBeneath opens paths that are longer than the kernel takes at once.
func TestOpenBeneath(t *testing.T) {
	dir := tempDir(t)
	write(t, dir+"/a/b/file", 1)
	must(t, os.Symlink("b", dir+"/a/link"))
	root, err := OpenRoot(dir)
	must(t, err)
	defer unix.Close(root)
	long := strings.Repeat("n", 255)
	fd, path := root, ""
	for range 40 { // 10 KB
		must(t, unix.Mkdirat(fd, long, 0o755))
		next, err := unix.Openat(fd, long, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if fd != root {
			unix.Close(fd)
		}
		must(t, err)
		fd = next
		path += "/" + long
	}
	defer unix.Close(fd)
	path = path[1:]
	before := descriptors(t)
	f := func(path string, want error) {
		t.Helper()
		got, err := OpenBeneath(root, path)
		if !errors.Is(err, want) {
			t.Errorf("OpenBeneath(%.40q) = %v, want %v", path, err, want)
		}
		if err == nil {
			unix.Close(got)
		}
	}
	f("a/b", nil)
	f(path, nil)
	f(path+"/missing", unix.ENOENT)
	f(strings.Repeat("n", 5000), unix.ENAMETOOLONG)
	f(path+"/"+strings.Repeat("n", 5000), unix.ENAMETOOLONG)
	f("a/link", unix.ELOOP)
	f("a/b/file", unix.ENOTDIR)
	f("..", unix.EXDEV)
	f("a/../../x", unix.EXDEV)
	f("/etc", unix.EXDEV)
	f("a\x00/b", unix.EINVAL)
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	same, err := OpenBeneath(root, path)
	must(t, err)
	defer unix.Close(same)
	want, err := identify(fd)
	must(t, err)
	if got, err := identify(same); err != nil || got != want {
		t.Errorf("opened %v, %v, want %v", got, err, want)
	}
}

// 100,000 files in one folder cost no memory that depends on their number, nor do folders.
func TestScanMemory(t *testing.T) {
	files, folders := 100_000, 5_000
	if testing.Short() {
		files, folders = 5_000, 500
	}
	dir := tempDir(t)
	must(t, os.Mkdir(dir+"/wide", 0o755))
	for i := range files {
		fd, err := unix.Open(fmt.Sprintf("%s/wide/%d", dir, i), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
		must(t, err)
		unix.Close(fd)
	}
	for i := range folders {
		must(t, os.Mkdir(fmt.Sprintf("%s/folder-%d", dir, i), 0o755))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	res, err := Scan(t.Context(), Options{Dir: dir, Recursive: true})
	runtime.ReadMemStats(&after)
	if err != nil || res.Files != int64(files) || res.Folders != int64(folders)+2 {
		t.Fatalf("%+v, %v", res, err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 512<<10 {
		t.Errorf("%d files and %d folders cost %d bytes, %d allocations, want at most 512 KiB", files, folders, grown, after.Mallocs-before.Mallocs)
	}
}
