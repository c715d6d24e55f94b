package safefs

import (
	"context"
	"errors"
	"fmt"
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
	if r.holding < 0 {
		fd, err := r.openHolding()
		if err != nil {
			return errorReason(err)
		}
		r.holding = fd
	}
	r.serial++
	as := fmt.Sprintf("%s%d-%d", id.holdingPrefix(), os.Getpid(), r.serial)
	if why := r.moveAside(dirfd, r.holding, as, id); why != Removed {
		return why
	}
	return unlink(r.holding, append([]byte(as), 0))
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
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return 0, 0, err
	}
	how := r.manner()
	how.strict = false // it is aside already
	_, err = dirscan.ScanFD(ctx, fd, dirscan.Options{Dir: filepath.Join(r.opts.Dir, policy.HoldingName), Visit: func(e *dirscan.Entry) error {
		if !isHeld(e) || e.Nlink > 1 && !r.opts.RemoveLinks {
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
	return removed, freed, err
}

// openHolding opens the holding folder of a root and makes it where it does not exist.
func (r *Remover) openHolding() (int, error) {
	fd, err := r.findHolding()
	if !errors.Is(err, fs.ErrNotExist) {
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
	return r.findHolding()
}

// findHolding opens the holding folder of a root. One that others own or may enter is refused.
func (r *Remover) findHolding() (int, error) {
	root, err := r.root()
	if err != nil {
		return -1, err
	}
	fd, err := dirscan.OpenBeneath(root, policy.HoldingName)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if st.Mode&0o077 != 0 || int(st.Uid) != os.Geteuid() {
		unix.Close(fd)
		return -1, unix.EPERM
	}
	return fd, nil
}

// Leftovers counts the files in the holding folder of the root. After Sweep they are those that a
// killed strict run had moved there although they were not what it had judged.
func (r *Remover) Leftovers() (n int, err error) {
	root, err := r.root()
	if err != nil {
		return 0, err
	}
	fd, err := dirscan.OpenBeneath(root, policy.HoldingName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read the quarantine of %q: %w", r.opts.Dir, err)
	}
	holding := os.NewFile(uintptr(fd), policy.HoldingName)
	defer holding.Close()
	names, err := holding.Readdirnames(-1)
	if err != nil {
		return 0, fmt.Errorf("read the quarantine of %q: %w", r.opts.Dir, err)
	}
	return len(names), nil
}
