package inside

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// ErrNoProcess says that no process runs at present whose folder it would be. It is a dirscan.ErrAway.
var ErrNoProcess = fmt.Errorf("no process of the target runs, so its folder %w", dirscan.ErrAway)

// Options configure a Resolver. Target and Members are required.
type Options struct {
	Target   string
	Procfs   string                            // default /proc
	RootFS   string                            // where the host's root is mounted; default /
	Kubelet  string                            // the kubelet's folder; default /var/lib/kubelet
	Reserved []string                          // folders that no root may be, hold or lie in: the journal's
	Members  func() []proc.Member              // of the target, at present
	PodUID   func() (uid string, running bool) // of the target's one pod; "" while there is none, or several
	// Once says that this host's folders are looked at once and not each time: for scans, which only read.
	Once   bool
	Opened func(o *dirscan.Opened) // for tests: called when a folder is open and not yet verified
}

// Resolver opens the folders of one target. It is safe for concurrent use.
type Resolver struct {
	opts  Options
	guard func() *safefs.Guard
}

// New returns a Resolver.
func New(o Options) *Resolver {
	o.Procfs, o.RootFS, o.Kubelet = cmp.Or(o.Procfs, "/proc"), cmp.Or(o.RootFS, "/"), cmp.Or(o.Kubelet, "/var/lib/kubelet")
	guard := func() *safefs.Guard { return safefs.NewGuard(o.RootFS, o.Reserved...) }
	if o.Once {
		guard = sync.OnceValue(guard)
	}
	return &Resolver{o, guard}
}

// Opener returns what opens the folder of a policy, nil for one that has a path on this host. Each call
// opens what the folder is by then. The error is a dirscan.ErrAway while no process or pod of the target
// is there, and wraps fs.ErrNotExist where it has no such folder.
func (r *Resolver) Opener(c *policy.Common) func() (dirscan.Opened, error) {
	switch {
	case c.Volume != "":
		return func() (dirscan.Opened, error) { return r.openVolume(c.Volume) }
	case c.InContainer, c.TargetRoot:
		return func() (dirscan.Opened, error) { return r.open(c.Dir, c.InContainer) }
	}
	return nil
}

// open opens a folder as the oldest process of the target sees it that is not a child of another. contained
// wants that process to be in a container: its root is not this host's.
func (r *Resolver) open(dir string, contained bool) (o dirscan.Opened, err error) {
	if err := safefs.CheckInside(dir); err != nil {
		return o, err
	}
	m, ok := oldest(r.opts.Members())
	if !ok {
		return o, ErrNoProcess
	}
	o = dirscan.Opened{
		Name: dir + " as " + r.opts.Target + " sees it", Of: fmt.Sprintf("process %d, start %d", m.PID, m.StartTicks()),
		Place: filepath.Join(r.opts.Procfs, strconv.Itoa(m.PID), "root", dir),
	}
	if contained {
		o.Name = dir + " in the container of " + r.opts.Target
	}
	err = r.openOf(m, &o, dir, contained)
	// All of that was asked by the pid, and is about the member if the pid is still the member's.
	changed := proc.Verify(r.opts.Procfs, m)
	switch {
	case changed == nil && err == nil:
		return o, nil
	case changed == nil:
		return dirscan.Opened{}, err
	case err == nil:
		unix.Close(o.FD)
	}
	if errors.Is(changed, proc.ErrChanged) {
		changed = fmt.Errorf("process %d has ended: %w", m.PID, ErrNoProcess)
	}
	return dirscan.Opened{}, changed
}

func (r *Resolver) openOf(m proc.Member, o *dirscan.Opened, dir string, contained bool) error {
	root, err := unix.Open(filepath.Join(r.opts.Procfs, strconv.Itoa(m.PID), "root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return rootError(m, err)
	}
	defer unix.Close(root)
	if contained {
		if err := r.checkContained(m, root); err != nil {
			return err
		}
	}
	if o.FD, err = descend(root, dir, r.guard()); err != nil {
		return fmt.Errorf("process %d: %w", m.PID, err)
	}
	if r.opts.Opened != nil {
		r.opts.Opened(o)
	}
	if o.Owns, err = proc.UsersOf(r.opts.Procfs, m.PID); err != nil {
		err = fmt.Errorf("process %d: its users: %w", m.PID, err)
	} else {
		err = checkOwner(m, o, dir)
	}
	if err != nil {
		unix.Close(o.FD)
	}
	return err
}

// oldest returns the process that has run for longest, of those that are members by themselves.
func oldest(members []proc.Member) (proc.Member, bool) {
	direct := slices.DeleteFunc(slices.Clone(members), func(m proc.Member) bool { return m.Child || m.Start.IsZero() })
	if len(direct) == 0 {
		return proc.Member{}, false
	}
	return slices.MinFunc(direct, func(a, b proc.Member) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.PID, b.PID))
	}), true
}

func rootError(m proc.Member, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESRCH):
		return fmt.Errorf("process %d has ended: %w", m.PID, ErrNoProcess)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("process %d: its folders cannot be reached: %w: run as the same user, or with CAP_SYS_PTRACE", m.PID, err)
	}
	return fmt.Errorf("process %d: its root: %w", m.PID, err)
}

// checkContained refuses a process whose root is that of this host.
func (r *Resolver) checkContained(m proc.Member, root int) error {
	var its, host unix.Stat_t
	if err := unix.Fstat(root, &its); err != nil {
		return err
	}
	if err := unix.Stat(r.opts.RootFS, &host); err != nil {
		return fmt.Errorf("the root of this host at %s: %w", r.opts.RootFS, err)
	}
	if its.Dev == host.Dev && its.Ino == host.Ino {
		return fmt.Errorf("process %d is not in a container, its root is this host's: write target_root: true in place of in_container, or neither where the folder is not a private one", m.PID)
	}
	return nil
}

// checkOwner refuses a folder that is not the namespace's of the process: a user who makes a user
// namespace may mount in it whatever he can see.
func checkOwner(m proc.Member, o *dirscan.Opened, dir string) error {
	if o.Owns == nil {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(o.FD, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	if !o.Owns(st.Uid) {
		return fmt.Errorf("process %d: %s belongs to user %d, whom its user namespace does not have: it may be the folder of another user that was mounted there", m.PID, dir, st.Uid)
	}
	return nil
}

// descend opens a folder below another one, component by component and through no link. A folder whose
// name everybody could give to another one is refused, as on the host, and so is what guard knows.
func descend(root int, dir string, guard *safefs.Guard) (fd int, err error) {
	parts := strings.Split(strings.TrimPrefix(dir, "/"), "/")
	at, path := root, ""
	defer func() {
		if at != root {
			unix.Close(at)
		}
	}()
	for i, part := range parts {
		if err := checkWay(at, path, guard); err != nil {
			return -1, err
		}
		path += "/" + part
		next, err := openPart(at, part, i == len(parts)-1)
		if err != nil {
			return -1, openError(at, part, path, err)
		}
		if at != root {
			unix.Close(at)
		}
		at = next
	}
	if err := guard.Root(at); err != nil {
		return -1, fmt.Errorf("%s %w", dir, err)
	}
	fd, at = at, root
	return fd, nil
}

// openPart opens one component, the last one for reading.
func openPart(at int, part string, last bool) (int, error) {
	flags := unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	if !last {
		return unix.Openat(at, part, flags|unix.O_PATH, 0)
	}
	flags |= unix.O_RDONLY | unix.O_NONBLOCK
	fd, err := unix.Openat(at, part, flags|unix.O_NOATIME, 0)
	if err == unix.EPERM { // a folder of another user
		return unix.Openat(at, part, flags, 0)
	}
	return fd, err
}

// openError says of a component that cannot be opened as a folder whether it is a link.
func openError(at int, part, path string, err error) error {
	var st unix.Stat_t
	if unix.Fstatat(at, part, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return fmt.Errorf("%s is a symbolic link: write the folder that it leads to, as the service sees it", path)
	}
	return &fs.PathError{Op: "open", Path: path, Err: err}
}

// checkWay refuses a folder on the way.
func checkWay(fd int, path string, guard *safefs.Guard) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&0o002 != 0 && st.Mode&unix.S_ISVTX == 0 {
		return fmt.Errorf("everybody can write to %s, so that the folder could be exchanged: chmod o-w it, or set its sticky bit", cmp.Or(path, "/"))
	}
	if err := guard.Through(fd); err != nil {
		return fmt.Errorf("%s %w", cmp.Or(path, "/"), err)
	}
	return nil
}
