package hostfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	maxLinks   = 40 // that are followed, as the kernel does
	byOthers   = 0o022
	overflowID = 65534 // whom a user namespace does not have
)

// podVariable is set by the kubelet in every container of a pod.
const podVariable = "KUBERNETES_SERVICE_HOST"

// CheckTrusted refuses a file or folder that users other than root and this process's own can change, as cron
// and sudo do: each folder on the way and what the path leads to belong to one of both, and neither the group
// nor others can write. A folder on the way that has the sticky bit may be written by all. The error says what
// to do; a path that does not exist wraps fs.ErrNotExist.
//
// An access list shows in the bits of the group. In a pod the root of a volume is not judged by its mode: the
// kubelet makes it writable for all, and the pod says which containers have it. In a user namespace, whom
// it does not have is trusted like root: that is where this process comes from.
func CheckTrusted(path string) error {
	w := trustWalk{path: path, self: uint32(unix.Geteuid()), outside: outsiders(), owners: true}
	return w.walk()
}

// CheckTrustedIn is CheckTrusted of a path in home, a folder whose owner is trusted too where only root can have
// given it to him, as packages and images do with the folder of their user.
func CheckTrustedIn(home, path string) error {
	w := trustWalk{path: path, self: uint32(unix.Geteuid()), outside: outsiders(), owners: true}
	var st unix.Stat_t
	if filepath.Dir(path) == home && unix.Lstat(home, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && CheckTrusted(filepath.Dir(home)) == nil {
		w.given = st.Uid
	}
	return w.walk()
}

// CheckModes is CheckTrusted whoever the owners are: for root, who does not know as whom the exporter runs.
func CheckModes(path string) error {
	w := trustWalk{path: path}
	return w.walk()
}

// trustWalk goes along one path.
type trustWalk struct {
	path    string
	owners  bool // are judged
	self    uint32
	given   uint32 // another owner who is trusted; 0 for none
	outside bool   // overflowID stands for all users outside of this user namespace
	links   int
	shared  bool // others can make names in the folder that was judged last
}

func (w *trustWalk) walk() error {
	if !filepath.IsAbs(w.path) {
		abs, err := filepath.Abs(w.path)
		if err != nil {
			return err
		}
		w.path = abs
	}
	at, rest := "/", names(w.path)
	for {
		var st unix.Stat_t
		if err := unix.Lstat(at, &st); err != nil {
			return &fs.PathError{Op: "stat", Path: at, Err: err}
		}
		link := st.Mode&unix.S_IFMT == unix.S_IFLNK
		if err := w.judge(at, &st, len(rest) == 0 && !link); err != nil {
			return err
		}
		if link {
			target, err := w.follow(at)
			if err != nil {
				return err
			}
			at = filepath.Dir(at)
			if filepath.IsAbs(target) {
				at = "/"
			}
			if rest = append(names(target), rest...); len(rest) == 0 {
				continue // to what is judged as the last now
			}
		}
		if len(rest) == 0 {
			return nil
		}
		at, rest = filepath.Join(at, rest[0]), rest[1:] // ".." too: what is above was judged on the way down
	}
}

// names splits a path. It keeps "..".
func names(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

func (w *trustWalk) follow(at string) (string, error) {
	if w.links++; w.links > maxLinks {
		return "", &fs.PathError{Op: "readlink", Path: w.path, Err: unix.ELOOP}
	}
	return os.Readlink(at)
}

// judge looks at one step of the path; last says that it is what the path leads to.
func (w *trustWalk) judge(at string, st *unix.Stat_t, last bool) error {
	where := fmt.Sprintf("%q", w.path)
	if at != w.path {
		where = fmt.Sprintf("%q lies in %q, which", w.path, at)
		if last {
			where = fmt.Sprintf("%q leads to %q, which", w.path, at)
		}
	}
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFLNK && !w.shared { // it cannot be exchanged, whoever owns it
		return nil
	}
	if w.owners && st.Uid != 0 && st.Uid != w.self && st.Uid != w.given && (!w.outside || st.Uid != overflowID) {
		return fmt.Errorf("%s belongs to user %s, who can change it: chown -h root %s, or write another path", where, userName(st.Uid), at)
	}
	w.shared = false
	switch {
	case st.Mode&byOthers == 0, kind == unix.S_IFLNK: // a link has no mode of its own
		return nil
	case kind == unix.S_IFDIR && st.Mode&unix.S_ISVTX != 0 && !last:
		w.shared = true
		return nil
	case kind == unix.S_IFDIR && st.Uid == 0 && isVolume(at):
		return nil
	}
	who := fmt.Sprintf("its group (%d)", st.Gid)
	if st.Mode&0o002 != 0 {
		who = "everybody on this host"
	}
	return fmt.Errorf("%s can be written by %s: chmod go-w %s, or write another path", where, who, at)
}

// isVolume reports whether a folder is the root of a volume in a pod.
func isVolume(dir string) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_TYPE, &st)
	if err != nil || st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return false
	}
	if os.Getenv(podVariable) != "" {
		return true
	}
	table, err := os.ReadFile("/proc/self/mountinfo") // a kubelet without an API server sets no variable
	return err == nil && isKubelets(string(table), dir)
}

// isKubelets reports whether a table of mounts (proc_pid_mountinfo(5)) has a folder as a volume that the kubelet
// has made: what is mounted there, the last time, lies in one of its folders.
func isKubelets(table, dir string) (found bool) {
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == dir {
			found = strings.Contains(f[3], "/volumes/kubernetes.io~")
		}
	}
	return found
}

// outsiders reports whether this user namespace lacks users, which all show as overflowID.
func outsiders() bool {
	raw, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	return lacksUser(string(raw), overflowID)
}

// lacksUser reports whether a map of users (user_namespaces(7)) does not have one.
func lacksUser(table string, id uint64) bool {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return false
		}
		first, err := strconv.ParseUint(fields[0], 10, 32)
		count, err2 := strconv.ParseUint(fields[2], 10, 33)
		if errors.Join(err, err2) != nil || id >= first && id-first < count {
			return false
		}
	}
	return true
}

func userName(uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(number); err == nil {
		return u.Username + " (" + number + ")"
	}
	return number
}
