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

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// ErrNoProcess says that there is no process whose folder is meant, at present.
var ErrNoProcess = errors.New("no process of the target runs, whose folders these are")

// Options configure a Resolver. Members is required.
type Options struct {
	Procfs  string               // default /proc
	RootFS  string               // where the host's root is mounted; default /
	Kubelet string               // the kubelet's folder; default /var/lib/kubelet
	Members func() []proc.Member // of the target, at present
	PodUID  func() string        // of the target's pod; "" while it is not known
}

// Resolver opens the folders of one target. It is safe for concurrent use.
type Resolver struct{ opts Options }

// New returns a Resolver.
func New(o Options) *Resolver {
	o.Procfs, o.RootFS, o.Kubelet = cmp.Or(o.Procfs, "/proc"), cmp.Or(o.RootFS, "/"), cmp.Or(o.Kubelet, "/var/lib/kubelet")
	return &Resolver{o}
}

// Folder is an open folder. Of is the same as long as it is the folder of the same process or pod: what
// is remembered of a folder, such as its owner and inode, holds no longer.
type Folder struct {
	FD int // a descriptor for reading
	Of string
}

// Close closes the descriptor.
func (f *Folder) Close() error { return unix.Close(f.FD) }

// CheckPath refuses a folder as a process may not have it written: relative, unclean, the root.
func CheckPath(dir string) error {
	switch {
	case !filepath.IsAbs(dir):
		return fmt.Errorf("%q is not absolute: write the whole path from /, as the service sees it", dir)
	case filepath.Clean(dir) != dir:
		return fmt.Errorf("%q is not clean: write %q", dir, filepath.Clean(dir))
	case dir == "/":
		return errors.New(`"/" is all that the service has: write a folder that holds nothing but the service's own files`)
	}
	return nil
}

// Open opens a folder as the oldest process of the target sees it that is no child of another. contained
// wants it to be in a container: one whose root is not this host's. The error is an ErrNoProcess, or
// wraps fs.ErrNotExist where there is no such folder.
func (r *Resolver) Open(dir string, contained bool) (*Folder, error) {
	if err := CheckPath(dir); err != nil {
		return nil, err
	}
	m, ok := oldest(r.opts.Members())
	if !ok {
		return nil, ErrNoProcess
	}
	root, err := unix.Open(filepath.Join(r.opts.Procfs, strconv.Itoa(m.PID), "root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, rootError(m, err)
	}
	defer unix.Close(root)
	held, err := proc.Hold(m) // the root is that of the member, not of one that has its pid since
	if err != nil {
		return nil, err
	}
	held.Close()
	if contained {
		if err := r.checkContained(m, root); err != nil {
			return nil, err
		}
	}
	fd, err := descend(root, dir)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", m.PID, err)
	}
	if err := r.checkOwner(m, fd, dir); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &Folder{FD: fd, Of: fmt.Sprintf("process %d of %d", m.PID, m.Start.UnixMilli())}, nil
}

// oldest returns the process that has run for longest, of those that are members by themselves.
func oldest(members []proc.Member) (proc.Member, bool) {
	direct := slices.DeleteFunc(slices.Clone(members), func(m proc.Member) bool { return m.Child })
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
		return fmt.Errorf("process %d is in no container, its root is this host's: remove in_container", m.PID)
	}
	return nil
}

// checkOwner refuses a folder that is not the namespace's of the process: a user who makes a user
// namespace may mount in it whatever he can see.
func (r *Resolver) checkOwner(m proc.Member, fd int, dir string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	_, mapped, err := proc.InsideUID(r.opts.Procfs, m.PID, st.Uid)
	if err != nil {
		return fmt.Errorf("process %d: its users: %w", m.PID, err)
	}
	if !mapped {
		return fmt.Errorf("process %d: %s belongs to user %d, whom its user namespace does not have: it may be a folder of somebody else that was mounted there", m.PID, dir, st.Uid)
	}
	return nil
}

// descend opens a folder below another one, component by component and through no link. A folder whose
// name everybody could give to another one is refused, as on the host.
func descend(root int, dir string) (fd int, err error) {
	parts := strings.Split(strings.TrimPrefix(dir, "/"), "/")
	at, path := root, ""
	defer func() {
		if at != root {
			unix.Close(at)
		}
	}()
	for i, part := range parts {
		if err := checkWritable(at, path); err != nil {
			return -1, err
		}
		path += "/" + part
		flags := unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_PATH
		if i == len(parts)-1 {
			flags = unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_RDONLY | unix.O_NONBLOCK
		}
		next, err := unix.Openat(at, part, flags, 0)
		if err != nil {
			return -1, openError(at, part, path, err)
		}
		if at != root {
			unix.Close(at)
		}
		at = next
	}
	fd, at = at, root
	return fd, nil
}

// openError says of a component that is no folder whether it is a link.
func openError(at int, part, path string, err error) error {
	var st unix.Stat_t
	if unix.Fstatat(at, part, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return fmt.Errorf("%s is a symbolic link: write the folder that it leads to, as the service sees it", path)
	}
	return &fs.PathError{Op: "open", Path: path, Err: err}
}

func checkWritable(fd int, path string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&0o002 != 0 && st.Mode&unix.S_ISVTX == 0 {
		return fmt.Errorf("everybody can write to %s, so that the folder could be exchanged: chmod o-w it, or set its sticky bit", cmp.Or(path, "/"))
	}
	return nil
}
