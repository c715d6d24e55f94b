package heap

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

const maxPasswd = 4 << 20

// jvm reads the heap of Java virtual machines from the counters that each keeps in a file, without
// asking it anything. Of several processes that are one, the fullest counts: it ends first.
type jvm struct {
	target *target
	procfs string

	mu       sync.Mutex
	machines map[machineKey]*machine
	closed   bool
	buf      []byte
}

type machineKey struct {
	pid   int
	start time.Time
}

// machine is one process whose counters are held open.
type machine struct {
	member proc.Member
	uid    uint32
	nspid  int // its pid as it knows it, which its files are named by
	file   *os.File
}

func newJVM(p *Pool, _ Config, of *target) (backend, error) {
	return &jvm{target: of, procfs: p.opts.ProcFS, machines: make(map[machineKey]*machine)}, nil
}

func checkJVM(_ *Config, _ factory, processes bool, report func(key, format string, args ...any)) {
	if !processes {
		report("provider", "%s finds the virtual machine by its process, and this target watches none: write processes", ProviderJVM)
	}
}

// Read implements Reader.
func (j *jvm) Read(context.Context) (Usage, error) {
	u, _, err := j.fullest()
	return u, err
}

// fullest reads all machines of the target and returns the one that is nearest to its limit.
func (j *jvm) fullest() (best Usage, of *machine, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return Usage{}, nil, ErrClosed
	}
	members := j.target.members()
	if len(members) == 0 {
		j.keep(nil)
		return Usage{}, nil, ErrNoProcess
	}
	j.keep(members)
	ratio := -1.0
	for _, m := range members {
		u, found, readErr := j.read(m)
		if readErr != nil {
			err = cmp.Or(err, readErr)
			continue
		}
		if r, _ := u.Ratio(); r > ratio {
			best, of, ratio = u, found, r
		}
	}
	if of != nil {
		return best, of, nil
	}
	return Usage{}, nil, err
}

// keep closes the files of processes that are gone.
func (j *jvm) keep(members []proc.Member) {
	for key, m := range j.machines {
		if !slices.ContainsFunc(members, func(o proc.Member) bool { return machineKey{o.PID, o.Start} == key }) {
			m.file.Close()
			delete(j.machines, key)
		}
	}
}

func (j *jvm) read(member proc.Member) (Usage, *machine, error) {
	key := machineKey{member.PID, member.Start}
	m := j.machines[key]
	if m == nil {
		var err error
		if m, err = openMachine(j.procfs, member); err != nil {
			return Usage{}, nil, err
		}
		j.machines[key] = m
	}
	if j.buf == nil {
		j.buf = make([]byte, 64<<10)
	}
	n, err := m.file.ReadAt(j.buf, 0)
	for err == nil && n == len(j.buf) && n < maxPerfData { // there may be more
		j.buf = make([]byte, 2*n)
		n, err = m.file.ReadAt(j.buf, 0)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return Usage{}, nil, fmt.Errorf("process %d: read its counters: %w", member.PID, err)
	}
	var h perfHeap
	if err := decodePerfData(j.buf[:n], &h); err != nil {
		return Usage{}, nil, fmt.Errorf("process %d: %w", member.PID, err)
	}
	u, err := h.usage()
	if err != nil {
		return Usage{}, nil, fmt.Errorf("process %d: %w", member.PID, err)
	}
	return u, m, nil
}

func (j *jvm) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	j.keep(nil)
	return nil
}

// openMachine opens the counters of a process below its own root, following no link: a file of its
// own user, which is all that one user can put there for another.
func openMachine(procfs string, member proc.Member) (*machine, error) {
	m := &machine{member: member}
	var err error
	if m.uid, m.nspid, err = identity(procfs, member.PID); err != nil {
		return nil, fmt.Errorf("process %d: %w", member.PID, err)
	}
	root, err := openRoot(procfs, member.PID)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	name := filepath.Join("tmp", "hsperfdata_"+userName(root, m.uid), strconv.Itoa(m.nspid))
	fd, err := openBelow(root, name, unix.O_RDONLY|unix.O_NONBLOCK)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, fmt.Errorf("%w: process %d has no /%s: it is no Java virtual machine, or runs with -XX:-UsePerfData or -XX:+PerfDisableSharedMem: remove that flag, or write another provider", ErrUnreachable, member.PID, name)
	case err != nil:
		return nil, fmt.Errorf("process %d: open /%s: %w", member.PID, name, err)
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Uid != m.uid || st.Size > maxPerfData) {
		err = fmt.Errorf("process %d: /%s is not a file of its user with at most %d bytes", member.PID, name, maxPerfData)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	m.file = os.NewFile(uintptr(fd), name)
	return m, nil
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

func openBelow(root int, name string, flags uint64) (int, error) {
	return unix.Openat2(root, name, &unix.OpenHow{
		Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
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

// userName returns the name of a user as the process would find it, its number where it has none.
func userName(root int, uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	fd, err := openBelow(root, "etc/passwd", unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return number
	}
	f := os.NewFile(uintptr(fd), "passwd")
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPasswd))
	if err != nil {
		return number
	}
	for line := range bytes.Lines(data) {
		fields := bytes.SplitN(line, []byte(":"), 4)
		if len(fields) == 4 && string(fields[2]) == number && len(fields[0]) > 0 && !bytes.ContainsAny(fields[0], "/\x00") {
			return string(fields[0])
		}
	}
	return number
}
