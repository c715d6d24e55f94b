package safefs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// removeStrictly moves the file into the holding folder, where no one else can exchange it, looks
// again, and removes it there. What turns out to be another file is moved back; where its name is
// taken meanwhile it stays in the holding folder and is reported by Leftovers.
func (r *Remover) removeStrictly(dirfd int, id Identity) Reason {
	if err := r.needHolding(); err != nil {
		return errorReason(err)
	}
	as := id.holdingPrefix() + r.serialName()
	if r.isLinked() {
		as += linkedSuffix
	}
	if why := r.moveAside(dirfd, r.holding, as, id); why != Removed {
		return why
	}
	return unlink(r.holding, append([]byte(as), 0))
}

// needHolding opens the holding folder, once per run.
func (r *Remover) needHolding() error {
	if r.holding >= 0 {
		return nil
	}
	fd, err := r.openHolding()
	if err == nil {
		r.holding = fd
	}
	return err
}

// serialName ends the names in the holding folder: no two are the same.
func (r *Remover) serialName() string {
	r.serial++
	return fmt.Sprintf("%d-%d", os.Getpid(), r.serial)
}

// holdingPrefix begins the name of a file in the holding folder. It says what the file must be, so
// that a later run can make the second look in place of one that was killed before it.
func (id Identity) holdingPrefix() string {
	return fmt.Sprintf("%d-%d-%d-", id.Ino, id.SizeBytes, id.MtimeNs)
}

// isHeld reports whether a file in the holding folder is the one that was judged when it was moved
// there.
func isHeld(e *dirscan.Entry) bool {
	return strings.HasPrefix(string(e.Name), IdentityOf(e).holdingPrefix())
}

// maxSwept bounds how many files of the holding folder are looked at in one run.
const maxSwept = 10_000

// errNotHolding says that what has the name of the holding folder was not made by this program. A
// strict removal is skipped with its Errno.
var errNotHolding = fmt.Errorf("%s is not the folder of this program: %w", policy.HoldingName, unix.EPERM)

// Sweep finishes what strict runs that were killed have begun: a file in the holding folder that
// is what was judged before it was moved is removed, with the checks that come after the
// judgement. Any other stays for a person to look at: it was exchanged in the last moment, and its
// place is not known. Nothing is done in a dry run, or where the root has no holding folder.
func (r *Remover) Sweep(ctx context.Context) (removed, freed int64, err error) {
	if r.opts.DryRun {
		return 0, 0, nil
	}
	fd, err := r.findHolding()
	if err != nil {
		return 0, 0, withoutHolding(err)
	}
	how := r.manner()
	how.strict = false // it is aside already
	seen := 0
	_, err = dirscan.ScanFD(ctx, fd, dirscan.Options{Dir: filepath.Join(r.opts.Dir, policy.HoldingName), Visit: func(e *dirscan.Entry) error {
		if seen++; seen > maxSwept {
			return dirscan.ErrStop // the next run goes on
		}
		r.most = 1
		if strings.HasSuffix(string(e.Name), linkedSuffix) {
			r.most = e.Nlink // the run was to remove its other names too
		}
		if !isHeld(e) || e.Nlink > r.most && !r.opts.RemoveLinks {
			return nil
		}
		r.name = append(append(r.name[:0], e.Name...), 0)
		if r.remove(e.Parent.FD(), IdentityOf(e), how) != Removed {
			return nil
		}
		removed++
		freed += r.freed(e.Nlink, e.AllocatedBytes)
		return nil
	}})
	r.most = 1
	files, space, treeErr := r.sweepTrees(ctx)
	return removed + files, freed + space, cmp.Or(err, treeErr)
}

// withoutHolding is the error of a look at the holding folder where none is needed. What others have
// given its name is an entry like any other.
func withoutHolding(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotHolding) {
		return nil
	}
	return err
}

// openHolding opens the holding folder of a root and makes it where it does not exist.
func (r *Remover) openHolding() (int, error) {
	fd, err := r.findHolding()
	if err == nil || withoutHolding(err) != nil {
		return fd, err
	}
	root, err := r.root()
	if err != nil {
		return -1, err
	}
	err = unix.Mkdirat(root, policy.HoldingName, 0o700)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, err
	}
	fd, err = dirscan.OpenBeneath(root, policy.HoldingName)
	if err != nil {
		return -1, err
	}
	if err := mark(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// mark makes a folder that is private and empty the holding folder.
func mark(fd int) error {
	if !policy.IsPrivate(fd) {
		return errNotHolding
	}
	if policy.IsMarked(fd) { // by another run, in this moment
		return nil
	}
	if n, err := countNames(fd, 1); n > 0 && !policy.IsMarked(fd) || err != nil {
		return cmp.Or(err, errNotHolding)
	}
	marker, err := unix.Openat(fd, policy.HoldingMarker, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	switch {
	case err == nil:
		return unix.Close(marker)
	case errors.Is(err, unix.EEXIST):
		return nil
	}
	return err
}

// findHolding opens the holding folder of a root. What else has its name is errNotHolding: a folder that
// others own or may enter, one without the marker, a link, a file, a mount.
func (r *Remover) findHolding() (int, error) {
	root, err := r.root()
	if err != nil {
		return -1, err
	}
	fd, err := dirscan.OpenBeneath(root, policy.HoldingName)
	switch {
	case err == nil && policy.IsPrivate(fd) && policy.IsMarked(fd):
		return fd, nil
	case err == nil:
		unix.Close(fd)
		return -1, errNotHolding
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EXDEV), errors.Is(err, unix.EACCES):
		return -1, errNotHolding
	}
	return -1, err
}

// maxLeftovers bounds how many files Leftovers counts.
const maxLeftovers = 1000

// Leftovers counts the files in the holding folder of the root, up to a thousand. After Sweep they are
// those that a killed strict run had moved there although they were not what it had judged.
func (r *Remover) Leftovers() (n int, err error) {
	fd, err := r.findHolding()
	if err != nil {
		return 0, withoutHolding(err)
	}
	defer unix.Close(fd)
	n, err = countNames(fd, maxLeftovers+1)
	if err != nil {
		return 0, fmt.Errorf("read the quarantine of %q: %w", r.opts.Dir, err)
	}
	return max(0, n-1), nil // the marker
}

// countNames counts what is in a folder, up to a number.
func countNames(fd, most int) (int, error) {
	own, err := dirscan.OpenBeneath(fd, ".") // a listing of its own
	if err != nil {
		return 0, err
	}
	f := os.NewFile(uintptr(own), policy.HoldingName)
	defer f.Close()
	names, err := f.Readdirnames(most)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return len(names), err
}
