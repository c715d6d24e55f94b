package safefs

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// OpenFiles looks at the files that are open on this host, when that is asked for, and again when
// the last look is too old. One may be shared by several Removers of one goroutine, so that a
// command looks once for all of its folders.
type OpenFiles struct {
	procRoot string
	seen     *openFiles
}

// NewOpenFiles returns an OpenFiles that has not looked yet. procRoot "" is /proc.
func NewOpenFiles(procRoot string) *OpenFiles {
	return &OpenFiles{procRoot: cmp.Or(procRoot, "/proc")}
}

// now returns the files that are open now, or were a moment ago.
func (o *OpenFiles) now() *openFiles {
	if o.seen == nil || o.seen.stale() {
		o.seen = scanOpenFiles(o.procRoot)
	}
	return o.seen
}

// forget makes the next look a new one.
func (o *OpenFiles) forget() { o.seen = nil }

// Incomplete reports whether there were processes that could not be looked into, those of other users
// as a rule: a file that only they have open was not seen as open.
func (o *OpenFiles) Incomplete() bool {
	return o.seen != nil && (o.seen.hidesAll || len(o.seen.hidden) > 0)
}

// openFiles are the files that processes of this host have open or mapped, as far as this user
// may see them.
type openFiles struct {
	files    map[fileID]bool
	own      map[fileID]bool // that this process has open
	folders  map[fileID]bool // that others have open, and every working directory and root
	locked   map[fileID]bool // with an advisory lock of the whole file, or a lease
	mapped   map[uint64]bool // inode numbers of mapped files
	hidden   map[uint32]bool // users with a process that could not be looked into
	hidesAll bool            // other users' processes are not even listed
	host     bool            // processes and locks are those of the whole host, not of a container
	at       time.Time
	took     time.Duration
	lines    []byte // memory of the reader of lines and of listings
}

type fileID struct {
	major, minor uint32
	ino          uint64
}

func (o *openFiles) holds(id Identity) bool {
	return o.files[fileID{id.DevMajor, id.DevMinor, id.Ino}]
}

// used reports whether anybody has a file open, mapped or locked, this process included.
func (o *openFiles) used(id Identity) bool {
	f := fileID{id.DevMajor, id.DevMinor, id.Ino}
	return o.files[f] || o.own[f] || o.locked[f]
}

// locks reports whether someone has locked a file as a whole.
func (o *openFiles) locks(id Identity) bool {
	return o.locked[fileID{id.DevMajor, id.DevMinor, id.Ino}]
}

// maps reports whether a file may be mapped. On an overlay the maps may show the device of the layer
// below, so the inode number alone decides; another file that has it stays for nothing, once.
func (o *openFiles) maps(id Identity) bool { return o.mapped[id.Ino] }

// hostProcesses is the PID namespace in which the kernel starts the first process (PROC_PID_INIT_INO of
// include/uapi/linux/nsfs.h): whoever lists its processes lists all.
const hostProcesses = "pid:[4026531836]"

// quiet reports whether nothing is known to be open or locked on the device of a folder, and the locks of all processes of the host
// are known. What a process that may not be looked into has open is not known here in any case.
func (o *openFiles) quiet(fd int) bool {
	id, _, err := lookAtFolder(fd, "")
	if err != nil || !o.host {
		return false
	}
	for _, all := range []map[fileID]bool{o.files, o.own, o.folders} {
		for is := range all {
			if is.major == id.major && is.minor == id.minor {
				return false
			}
		}
	}
	for is := range o.locked {
		if is.major == id.major && is.minor == id.minor && is != id { // ours
			return false
		}
	}
	return true
}

// hides reports whether a process of the user may have files open that were not seen.
func (o *openFiles) hides(uid uint32) bool {
	return o.hidden[uid] || o.hidesAll && int(uid) != os.Geteuid()
}

// stale reports whether it is time to look again: a long run would rely on what was open at its
// start, and one that looks too often would do nothing else.
func (o *openFiles) stale() bool { return time.Since(o.at) > max(2*time.Second, 20*o.took) }

// scanOpenFiles looks at every mapping, at every descriptor of every process, and at all locks, once.
func scanOpenFiles(root string) *openFiles {
	o := &openFiles{
		files: make(map[fileID]bool), own: make(map[fileID]bool), folders: make(map[fileID]bool), locked: make(map[fileID]bool), mapped: make(map[uint64]bool),
		hidden: make(map[uint32]bool), hidesAll: true, at: time.Now(), lines: make([]byte, 4<<10),
	}
	self, err := os.Readlink(filepath.Join(root, "self"))
	if err != nil { // else the process as the mount of another PID namespace numbers it
		self = strconv.Itoa(os.Getpid())
	}
	pids, err := os.ReadDir(root)
	if err != nil {
		return o
	}
	for _, p := range pids {
		name := p.Name()
		if name == "1" {
			o.hidesAll = false // proc(5): with hidepid=invisible the first process is not listed
		}
		if strings.Trim(name, "0123456789") != "" {
			continue
		}
		into, folders := o.files, o.folders
		if name == self { // which may have the file at work open, and its folder
			into, folders = o.own, nil
		}
		fds := o.scanDescriptors(filepath.Join(root, name, "fd"), into, folders)
		o.addFolder(filepath.Join(root, name, "cwd"))
		o.addFolder(filepath.Join(root, name, "root"))
		maps := o.scanMaps(filepath.Join(root, name, "maps"))
		if err := cmp.Or(fds, maps); errors.Is(err, fs.ErrPermission) {
			var st unix.Stat_t
			if unix.Stat(filepath.Join(root, name), &st) == nil {
				o.hidden[st.Uid] = true
			}
		}
	}
	locks := o.eachLine(filepath.Join(root, "locks"), o.addLock)
	o.host = isHost(root) && locks == nil
	o.took, o.lines = time.Since(o.at), nil
	return o
}

// isHost reports whether a folder of processes is that of the host: this process is one of its own, or the first one is, which
// takes a right to look into that.
func isHost(root string) bool {
	for _, p := range []string{"self", "1"} {
		if of, _ := os.Readlink(filepath.Join(root, p, "ns/pid")); of == hostProcesses {
			return true
		}
	}
	return false
}

func (o *openFiles) addFolder(path string) {
	if id, _, err := lookAtFolder(unix.AT_FDCWD, path+"/."); err == nil {
		o.folders[id] = true
	}
}

// scanDescriptors notes the regular files and, where folders is not nil, the folders of descriptors.
func (o *openFiles) scanDescriptors(dir string, into, folders map[fileID]bool) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	for more := true; more && err == nil; {
		more, err = dirscan.List(fd, o.lines, func(d dirscan.Listed) error {
			errno := dirscan.Statx(fd, d.Name[:len(d.Name)+1], unix.AT_STATX_DONT_SYNC, unix.STATX_INO|unix.STATX_TYPE, &st)
			id := fileID{st.Dev_major, st.Dev_minor, st.Ino}
			switch {
			case errno != 0:
			case st.Mode&unix.S_IFMT == unix.S_IFREG:
				into[id] = true
			case st.Mode&unix.S_IFMT == unix.S_IFDIR && folders != nil:
				folders[id] = true
			}
			return nil
		})
	}
	return err
}

func (o *openFiles) scanMaps(path string) error {
	return o.eachLine(path, func(line []byte) {
		if id, ok := parseMapsLine(line); ok {
			o.files[id] = true
			o.mapped[id.ino] = true
		}
	})
}

func (o *openFiles) eachLine(path string, add func(line []byte)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(o.lines, bufio.MaxScanTokenSize)
	for lines.Scan() {
		add(lines.Bytes())
	}
	return lines.Err()
}

// addLock notes a line of /proc/locks. A lock of a part of a file says that it is open.
func (o *openFiles) addLock(line []byte) {
	switch kind, id, ok := parseLockLine(line); {
	case !ok:
	case kind == "FLOCK" || kind == "LEASE" || kind == "DELEG":
		o.locked[id] = true
	default:
		o.files[id] = true
	}
}

// parseLockLine reads kind, device and inode of a line of /proc/locks (proc_locks(5)):
// "4: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF"; that of a waiter has "->" before the kind.
func parseLockLine(line []byte) (kind string, id fileID, ok bool) {
	fields := bytes.Fields(line)
	if len(fields) > 1 && string(fields[1]) == "->" {
		fields = fields[1:]
	}
	if len(fields) < 6 {
		return "", id, false
	}
	device, ino, ok := cutLast(string(fields[5]), ":")
	if !ok {
		return "", id, false
	}
	id, ok = parseFileID(device, ino)
	return string(fields[1]), id, ok
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// parseMapsLine reads device and inode of a line of /proc/pid/maps (proc(5)):
// "7f0-7f1 r--p 00000000 fe:00 1234  /usr/lib/libc.so".
func parseMapsLine(line []byte) (id fileID, ok bool) {
	var device, inode []byte
	n := 0
	for field := range bytes.FieldsSeq(line) { // bytes.Fields would allocate for each line of each process
		switch n++; n {
		case 4:
			device = field
		case 5:
			inode = field
		}
		if n == 5 {
			break
		}
	}
	return parseFileID(string(device), string(inode))
}

// parseFileID reads a device, as "fe:00", and an inode.
func parseFileID(device, inode string) (id fileID, ok bool) {
	major, minor, ok := strings.Cut(device, ":")
	if !ok {
		return id, false
	}
	a, err1 := strconv.ParseUint(major, 16, 32)
	b, err2 := strconv.ParseUint(minor, 16, 32)
	ino, err3 := strconv.ParseUint(inode, 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || ino == 0 {
		return id, false
	}
	return fileID{uint32(a), uint32(b), ino}, true
}
