package safefs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// swap puts a sibling in the place of a root.
func swap(t *testing.T, dir, sibling string) {
	t.Helper()
	if err := unix.Renameat2(unix.AT_FDCWD, dir, unix.AT_FDCWD, sibling, unix.RENAME_EXCHANGE); err != nil {
		t.Fatal(err)
	}
}

// clean removes what is old in a root, as a run does, and returns how many files went. opened is
// called between the look at the root and the walk.
func clean(t *testing.T, o Options, opened func()) (removed int, err error) {
	t.Helper()
	o.Now, o.AgeNs, o.MinAge = time.Now(), byMtime, time.Minute
	r := NewRemover(o)
	defer r.Close()
	if err := r.Open(); err != nil {
		return 0, err
	}
	if opened != nil {
		opened()
	}
	_, err = r.Scan(t.Context(), dirscan.Options{Recursive: true, Visit: func(e *dirscan.Entry) error {
		if _, why := r.Remove(e); why == Removed {
			removed++
		}
		return nil
	}})
	return removed, err
}

func isExchanged(err error) bool {
	var e *ExchangedError
	return errors.As(err, &e)
}

func TestRootsRemember(t *testing.T) {
	top := tempDir(t)
	root, sibling, missing := top+"/root", top+"/sibling", top+"/missing"
	aged(t, root+"/a")
	aged(t, sibling+"/b")
	var appeared []string
	known := NewRoots([]string{root, missing}, func(dir string, id RootID) { appeared = append(appeared, dir+" "+id.String()) })
	if n, err := clean(t, Options{Dir: root, Roots: known, DryRun: true}, nil); n != 1 || err != nil {
		t.Errorf("as it was: %d files, %v, want 1", n, err)
	}
	swap(t, root, sibling)
	for range 2 { // it stays refused
		n, err := clean(t, Options{Dir: root, Roots: known}, nil)
		if n != 0 || !isExchanged(err) || !exists(root+"/b") {
			t.Errorf("a sibling in its place: %d files, %v, want it refused", n, err)
		}
		if text := "is not the one that was there when the configuration was loaded: inode "; err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), "if this is meant, reload the configuration") {
			t.Errorf("%v, want %q and what to do", err, text)
		}
	}
	if changed := NewRoots([]string{root, missing}, nil).Changed(known); len(changed) != 1 || changed[0] != root {
		t.Errorf("changed: %v, want the root", changed)
	}
	if n, err := clean(t, Options{Dir: root, Roots: NewRoots([]string{root}, nil)}, nil); n != 1 || err != nil {
		t.Errorf("remembered anew: %d files, %v, want 1", n, err)
	}
	if err := known.Check(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a root that does not exist: %v", err)
	}
	aged(t, missing+"/c")
	for range 2 {
		if err := known.Check(missing); err != nil {
			t.Error(err)
		}
	}
	if len(appeared) != 1 || !strings.HasPrefix(appeared[0], missing+" owner ") {
		t.Errorf("appeared: %q, want it once", appeared)
	}
	swap(t, missing, sibling)
	if err := known.Check(missing); !isExchanged(err) || !strings.Contains(err.Error(), "that was first seen after the configuration was loaded") {
		t.Errorf("a sibling in the place of a root that appeared: %v", err)
	}
	swap(t, missing, sibling)
	if err := known.Check(missing); err != nil {
		t.Errorf("exchanged back: %v", err)
	}
}

// TestRootChangesOwner: the same folder of another owner is not the one that was configured.
func TestRootChangesOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give a folder away")
	}
	dir := tempDir(t)
	known := NewRoots([]string{dir}, nil)
	if err := os.Chown(dir, 65534, -1); err != nil {
		t.Fatal(err)
	}
	if err := known.Check(dir); !isExchanged(err) || !strings.Contains(err.Error(), "owner 65534 instead of 0") || strings.Contains(err.Error(), "inode") {
		t.Errorf("%v", err)
	}
}

// TestRootOnAnotherDevice: a mount over a root is not the root.
func TestRootOnAnotherDevice(t *testing.T) {
	dir := tempDir(t)
	known := NewRoots([]string{dir}, nil)
	withMounts(t, func() {
		if err := unix.Mount("spillway", dir, "tmpfs", 0, ""); err != nil {
			t.Error(err)
			return
		}
		if err := known.Check(dir); !isExchanged(err) || !strings.Contains(err.Error(), "device ") {
			t.Errorf("%v", err)
		}
	})
}

// TestExchangedAfterTheLook: what was looked at is what is walked, whatever its name means by then.
func TestExchangedAfterTheLook(t *testing.T) {
	for _, strict := range []bool{false, true} {
		top := tempDir(t)
		root, sibling := top+"/root", top+"/sibling"
		aged(t, root+"/sub/mine")
		aged(t, sibling+"/sub/others")
		known := NewRoots([]string{root}, nil)
		n, err := clean(t, Options{Dir: root, Roots: known, Strict: strict}, func() { swap(t, root, sibling) })
		if err != nil || n != 1 || !exists(root+"/sub/others") || exists(sibling+"/sub/mine") || exists(root+"/.spillway-quarantine") {
			t.Errorf("strict %v: %d files removed, %v; want the one of the folder that was looked at", strict, n, err)
		}
	}
}

// TestExchangedQuarantine: nothing is moved into a folder that took the quarantine's place.
func TestExchangedQuarantine(t *testing.T) {
	top := tempDir(t)
	root, quarantine, sibling := top+"/root", top+"/quarantine", top+"/sibling"
	aged(t, root+"/a")
	for _, dir := range []string{quarantine, sibling} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Dir: root, Quarantine: quarantine, Roots: NewRoots([]string{root, quarantine}, nil)}
	swap(t, quarantine, sibling)
	if n, err := clean(t, o, nil); n != 0 || !isExchanged(err) || !exists(root+"/a") {
		t.Errorf("%d files moved, %v", n, err)
	}
	swap(t, quarantine, sibling)
	if n, err := clean(t, o, func() { swap(t, quarantine, sibling) }); n != 1 || err != nil {
		t.Errorf("exchanged back: %d files moved, %v", n, err)
	}
	if list, err := os.ReadDir(sibling); err != nil || len(list) != 1 {
		t.Errorf("the quarantine that was looked at has %d files, %v, want 1", len(list), err)
	}
}

// TestRootExchangedByItsOwner lets another user, who owns the folder above, exchange the root for a
// folder of root's again and again while runs go on as root: no file of that folder goes.
func TestRootExchangedByItsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to be robbed")
	}
	top := tempDir(t)
	const nobody = 65534
	above := top + "/above"
	root, backup := above+"/tmp", above+"/backup"
	aged(t, root+"/mark")
	for _, name := range []string{"1", "2", "sub/3"} {
		aged(t, backup+"/"+name)
	}
	for _, dir := range []string{above, root} {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{top + "/..", top} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	known := NewRoots([]string{root}, nil)
	stop := exchangeAs(t, nobody, root, backup)
	refused, ran := 0, 0
	for deadline := time.Now().Add(20 * time.Second); (refused < 200 || ran < 200) && time.Now().Before(deadline); {
		_, err := clean(t, Options{Dir: root, Roots: known}, nil)
		switch {
		case isExchanged(err):
			refused++
		case err == nil:
			ran++
		case errors.Is(err, fs.ErrNotExist): // in the middle of an exchange
		default:
			t.Fatal(err)
		}
	}
	stop()
	if refused == 0 || ran == 0 {
		t.Errorf("%d runs were refused and %d ran: nothing was exchanged in between", refused, ran)
	}
	for _, dir := range []string{root, root + ".0"} { // where the last exchange was cut off
		if exists(dir + "/sub") {
			backup = dir
		}
	}
	for _, name := range []string{"1", "2", "sub/3"} {
		if !exists(backup + "/" + name) {
			t.Errorf("%s of the backup is gone", name)
		}
	}
}

// exchangeAs starts a process of another user that exchanges two folders until stop is called.
func exchangeAs(t *testing.T, uid uint32, a, b string) (stop func()) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `echo ready; while mv -T "$0" "$0.0" && mv -T "$1" "$0" && mv -T "$0.0" "$1"; do :; done`, a, b)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}, Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("another user cannot be had here: %v", err)
	}
	stop = sync.OnceFunc(func() {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	return stop
}

// TestLookAtRootsWaitsForNoRoot: a root that has not answered when the others have counts as one that
// appears later.
func TestLookAtRootsWaitsForNoRoot(t *testing.T) {
	top := tempDir(t)
	root, hung := top+"/root", top+"/hung"
	aged(t, root+"/a")
	aged(t, hung+"/b")
	var appeared []string
	var answers func()
	known := LookAtRoots(func(look func(dir string)) {
		look(root)
		answers = func() { look(hung) }
	}, func(dir string, _ RootID) { appeared = append(appeared, dir) })
	if len(appeared) != 0 {
		t.Errorf("appeared: %v, want none", appeared)
	}
	answers()
	if len(appeared) != 1 || appeared[0] != hung {
		t.Errorf("appeared: %v, want the root that answered late", appeared)
	}
	if n, err := clean(t, Options{Dir: hung, Roots: known, DryRun: true}, nil); n != 1 || err != nil {
		t.Errorf("%d files, %v, want 1", n, err)
	}
}
