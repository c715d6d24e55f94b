package wake

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// The triggers of pressure stall information, the first that the kernel takes: 20 ms of waiting in
// half a second, or what it takes since Linux 6.5 of who lacks CAP_SYS_RESOURCE, a window of 2 s
// (Documentation/accounting/psi.rst).
var triggers = []string{"some 20000 500000", "some 80000 2000000"}

// errNone says that the kernel has no such file for a subject.
var errNone = errors.New("has no such file")

// kind is a way in which the kernel reports.
type kind struct {
	reason   string
	what     string
	register func(*loop, *watch) (file string, err error)
}

var kinds = []kind{
	{ReasonPressure, "memory pressure", registerPressure},
	{ReasonEvents, "events of the limits of cgroups", registerEvents},
	{ReasonThreshold, "thresholds of cgroups", registerThreshold},
}

// watch is what is registered for a subject.
type watch struct {
	subject  Subject
	dev, ino uint64 // of the cgroup, 0 where there is none
	sources  []source
}

// source is one thing that the kernel reports by.
type source struct {
	reason string
	fd     int // of the trigger or the eventfd
	wd     int // of the inotify watch, where the reason is ReasonEvents
}

func newWatch(s *Subject) *watch {
	x := &watch{subject: *s}
	x.subject.Thresholds = slices.Clone(s.Thresholds)
	x.dev, x.ino = identity(s.CgroupDir)
	return x
}

// same reports whether the cgroup is the one that was registered.
func (x *watch) same() bool {
	dev, ino := identity(x.subject.CgroupDir)
	return dev == x.dev && ino == x.ino
}

func identity(dir string) (dev, ino uint64) {
	var st unix.Stat_t
	if dir == "" || unix.Stat(dir, &st) != nil {
		return 0, 0
	}
	return st.Dev, st.Ino
}

// open opens a file of the kernel's, and no other: what is written to it must not end up in a file
// of somebody's.
func open(file string, flags int) (int, error) {
	fd, err := unix.Open(file, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: file, Err: err}
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err == nil {
		switch st.Type {
		case unix.CGROUP2_SUPER_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.PROC_SUPER_MAGIC:
			return fd, nil
		}
	}
	_ = unix.Close(fd)
	return -1, fmt.Errorf("%s is not a file of procfs or cgroupfs", file)
}

func registerPressure(l *loop, x *watch) (string, error) {
	file := x.subject.Pressure
	if file == "" {
		if x.subject.CgroupDir == "" {
			return "", errNone
		}
		file = filepath.Join(x.subject.CgroupDir, "memory.pressure")
	}
	fd, err := open(file, unix.O_RDWR)
	if err != nil {
		return file, err
	}
	for _, trigger := range triggers {
		if _, err = unix.Write(fd, append([]byte(trigger), 0)); err == nil {
			return file, l.add(x, source{reason: ReasonPressure, fd: fd, wd: -1}, unix.EPOLLPRI)
		}
		if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EPERM) {
			break
		}
	}
	_ = unix.Close(fd)
	return file, fmt.Errorf("set a trigger in %s: %w", file, err)
}

func registerEvents(l *loop, x *watch) (string, error) {
	if x.subject.CgroupDir == "" {
		return "", errNone
	}
	file := filepath.Join(x.subject.CgroupDir, "memory.events")
	if _, err := os.Stat(file); err != nil {
		return file, err // before an inotify instance is made for nothing
	}
	return file, l.follow(x, file)
}

func registerThreshold(l *loop, x *watch) (file string, err error) {
	if len(x.subject.Thresholds) == 0 || x.subject.CgroupDir == "" {
		return "", errNone
	}
	usage, err := open(filepath.Join(x.subject.CgroupDir, "memory.usage_in_bytes"), unix.O_RDONLY)
	if err != nil {
		return "", err // of version 2
	}
	defer unix.Close(usage)
	file = filepath.Join(x.subject.CgroupDir, "cgroup.event_control")
	control, err := open(file, unix.O_WRONLY)
	if err != nil {
		return file, err
	}
	defer unix.Close(control)
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return file, fmt.Errorf("make an eventfd: %w", err)
	}
	for _, sizeBytes := range x.subject.Thresholds {
		if _, err := unix.Write(control, fmt.Appendf(nil, "%d %d %d", fd, usage, sizeBytes)); err != nil {
			_ = unix.Close(fd)
			return file, fmt.Errorf("set a threshold in %s: %w", file, err)
		}
	}
	return file, l.add(x, source{reason: ReasonThreshold, fd: fd, wd: -1}, unix.EPOLLIN)
}
