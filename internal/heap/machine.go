package heap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// LibJVM is the library that a process has mapped which is a Java virtual machine.
const LibJVM = "libjvm.so"

// errNoMachine says that a process is not a Java virtual machine, as a shell that starts one.
var errNoMachine = fmt.Errorf("%w: it is not a Java virtual machine", ErrUnreachable)

// machine is one process whose counters are held open.
type machine struct {
	member proc.Member
	uid    uint32
	nspid  int // its pid as it knows it, which its files are named by
	sealed bool
	live   liveHeap
	file   *os.File
	statm  *os.File // says that it lives: a descriptor follows its process, not the pid
}

// openMachine opens the counters of a process: the file that the process itself has mapped, below
// its own root and through no link. What lies in /tmp under its pid may be of one that had the pid
// before, and was killed.
func openMachine(procfs string, member proc.Member) (*machine, error) {
	m := &machine{member: member}
	var err error
	if m.uid, m.nspid, err = identity(procfs, member.PID); err != nil {
		return nil, fmt.Errorf("process %d: %w", member.PID, err)
	}
	name, err := countersOf(procfs, member.PID)
	if err != nil {
		return nil, err
	}
	root, err := openRoot(procfs, member.PID)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	if m.file, err = openCounters(root, name, m.uid); err != nil {
		return nil, fmt.Errorf("process %d: %w", member.PID, err)
	}
	if m.statm, err = os.Open(filepath.Join(procfs, strconv.Itoa(member.PID), "statm")); err != nil {
		m.file.Close()
		return nil, fmt.Errorf("process %d: %w: %w", member.PID, ErrUnreachable, err)
	}
	return m, nil
}

func (m *machine) close() {
	m.file.Close()
	m.statm.Close()
}

// alive returns an error when the process has ended. The kernel gives zeros for one that no one has
// waited for yet.
func (m *machine) alive() error {
	var b [2]byte
	if n, err := m.statm.ReadAt(b[:], 0); err != nil && !errors.Is(err, io.EOF) || n == 0 || b[0] == '0' {
		return fmt.Errorf("%w: it has ended", ErrUnreachable)
	}
	return nil
}

// counters reads the file into a buffer, which grows as needed.
func (m *machine) counters(buf *[]byte) ([]byte, error) {
	if *buf == nil {
		*buf = make([]byte, 64<<10)
	}
	n, err := m.file.ReadAt(*buf, 0)
	for err == nil && n == len(*buf) && n < maxPerfData { // there may be more
		*buf = make([]byte, 2*n)
		n, err = m.file.ReadAt(*buf, 0)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read its counters: %w", err)
	}
	return (*buf)[:n], nil
}

// countersOf returns the path of the counters that a process has mapped. That names them whatever
// the user's name, and says what kind of process it is where there are none.
func countersOf(procfs string, pid int) (name string, err error) {
	isMachine, gone := false, false
	err = proc.MappedFiles(procfs, pid, func(file []byte, deleted bool) bool {
		switch p := string(file); {
		case path.Base(p) == LibJVM:
			isMachine = true
		case isCounters(p):
			name, gone = p, deleted
		}
		return !isMachine || name == ""
	})
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESRCH):
		return "", fmt.Errorf("process %d: %w: it has ended", pid, ErrUnreachable)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return "", fmt.Errorf("%w: run as the same user, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH", err)
	case err != nil:
		return "", err
	case !isMachine:
		return "", fmt.Errorf("process %d: %w", pid, errNoMachine)
	case name == "":
		return "", fmt.Errorf("%w: process %d keeps no counters: it runs with -XX:-UsePerfData or -XX:+PerfDisableSharedMem, or as a user without a name: remove that flag, or write another provider", ErrUnreachable, pid)
	case gone:
		return "", fmt.Errorf("%w: process %d keeps its counters in %s, which someone has removed: leave /tmp/hsperfdata_* to the virtual machines, and start it anew", ErrUnreachable, pid, name)
	}
	return name, nil
}

// isCounters reports whether a path is that of counters: .../hsperfdata_USER/PID.
func isCounters(file string) bool {
	dir, base := path.Split(file)
	_, err := strconv.ParseUint(base, 10, 32)
	return err == nil && strings.HasPrefix(path.Base(dir), "hsperfdata_")
}

// openCounters opens the file below the root of the process, where a path that the kernel gives from
// the top of the mount namespace may begin above it: a regular file of the process' user.
func openCounters(root int, name string, uid uint32) (*os.File, error) {
	fd, err := openBelow(root, strings.TrimPrefix(name, "/"), unix.O_RDONLY|unix.O_NONBLOCK)
	if errors.Is(err, unix.ENOENT) {
		dir, base := path.Split(name)
		fd, err = openBelow(root, path.Join("tmp", path.Base(dir), base), unix.O_RDONLY|unix.O_NONBLOCK)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Uid != uid || st.Size > maxPerfData) {
		err = fmt.Errorf("%s is not a file of its user with at most %d bytes", name, maxPerfData)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func openRoot(procfs string, pid int) (int, error) {
	fd, err := unix.Open(filepath.Join(procfs, strconv.Itoa(pid), "root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESRCH):
		return -1, fmt.Errorf("%w: process %d has ended", ErrUnreachable, pid)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return -1, fmt.Errorf("process %d: its files cannot be reached: %w: run as the same user, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH", pid, err)
	case err != nil:
		return -1, fmt.Errorf("process %d: its root: %w", pid, err)
	}
	return fd, nil
}

func openBelow(root int, name string, flags int) (int, error) {
	return dirscan.OpenIn(root, name, flags)
}

// identity reads the effective user of a process and its pid as it knows it.
func identity(procfs string, pid int) (uid uint32, nspid int, err error) {
	f, err := os.Open(filepath.Join(procfs, strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer f.Close()
	nspid = pid
	found := false
	for sc := bufio.NewScanner(io.LimitReader(f, 64<<10)); sc.Scan(); {
		key, value, _ := strings.Cut(sc.Text(), ":")
		fields := strings.Fields(value)
		switch {
		case key == "Uid" && len(fields) == 4:
			n, err := strconv.ParseUint(fields[1], 10, 32)
			if err != nil {
				return 0, 0, fmt.Errorf("its status: Uid %q: %w", value, err)
			}
			uid, found = uint32(n), true
		case key == "NSpid" && len(fields) > 0:
			if nspid, err = strconv.Atoi(fields[len(fields)-1]); err != nil {
				return 0, 0, fmt.Errorf("its status: NSpid %q: %w", value, err)
			}
		}
	}
	if !found {
		return 0, 0, errors.New("its status has no Uid")
	}
	return uid, nspid, nil
}
