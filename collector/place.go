package collector

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// place is where the memory of a target is read between two sweeps: its cgroup, its processes or
// the host. The zero value is nowhere.
type place struct {
	cgroup     cgroupDir
	tracker    *proc.Tracker
	target     string // of the tracker
	population uint64 // of the sweep: readings of another one are not compared with it
	largest    bool   // its largest member counts
	procfs     string
	limitBytes int64 // of the host
	meter      meter // of tests
}

// grows reports whether a target may have members that the last sweep has not seen.
func (p place) grows() bool { return p.tracker != nil }

// meter reads the memory of one place. It keeps what it reads open and never waits for anything
// but the kernel's own counters. It belongs to one goroutine.
type meter interface {
	// read reads exactly from the bound need on; below it a bound will do.
	read(buf []byte, need float64) (reading, error)
	close()
}

// open returns the meter of a place; what it reads is opened by the first reading.
func (p place) open() meter {
	switch {
	case p.meter != nil:
		return p.meter
	case p.tracker != nil:
		return processMeter(p)
	case p.procfs != "":
		return &hostMeter{
			limitBytes: p.limitBytes, meminfo: heldFile{filepath.Join(p.procfs, "meminfo"), -1}, arc: heldFile{filepath.Join(p.procfs, arcStats), -1},
		}
	}
	return &cgroupMeter{
		unified: p.cgroup.unified,
		usage:   heldFile{filepath.Join(p.cgroup.dir, usageFile(p.cgroup.unified)), -1},
		stat:    heldFile{filepath.Join(p.cgroup.dir, "memory.stat"), -1},
	}
}

// heldFile is a file of the kernel that is kept open; fd is -1 while it is not.
type heldFile struct {
	name string
	fd   int
}

// read reads the file from its beginning. One that was exchanged for another of its name, as the
// cgroup of a service that was restarted, is opened again.
func (f *heldFile) read(buf []byte) ([]byte, error) {
	fresh := f.fd < 0
	if fresh {
		fd, err := unix.Open(f.name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", f.name, err)
		}
		f.fd = fd
	}
	n, err := unix.Pread(f.fd, buf, 0)
	if err == nil {
		return buf[:n], nil
	}
	f.close()
	if !fresh && errors.Is(err, unix.ENODEV) {
		return f.read(buf)
	}
	return nil, fmt.Errorf("read %s: %w", f.name, err)
}

func (f *heldFile) close() {
	if f.fd >= 0 {
		_ = unix.Close(f.fd)
		f.fd = -1
	}
}

// processMeter reads the members that the tracker has listed.
type processMeter place

func (m processMeter) read(buf []byte, _ float64) (reading, error) {
	q, err := m.tracker.Quick(m.target, buf)
	if err != nil {
		return reading{}, err
	}
	if q.Processes == 0 || q.Population != m.population {
		return reading{}, proc.ErrNotQuick
	}
	r := exactly(float64(q.Used))
	if m.largest {
		r = exactly(float64(q.Largest))
	}
	r.resident, r.anon, r.processes = float64(q.Resident), float64(q.Anon), true
	return r, nil
}

func (processMeter) close() {}

// cgroupMeter reads the usage of a cgroup, which bounds from above what counts: the page cache in
// it is known by memory.stat only.
type cgroupMeter struct {
	unified     bool
	usage, stat heldFile
}

func (m *cgroupMeter) read(buf []byte, need float64) (reading, error) {
	b, err := m.usage.read(buf)
	if err != nil {
		return reading{}, err
	}
	usage, err := parseUsage(b)
	if err != nil {
		return reading{}, fmt.Errorf("%s: %w", m.usage.name, err)
	}
	if bound := float64(usage); bound < need {
		return reading{bound: bound}, nil
	}
	if b, err = m.stat.read(buf); err != nil {
		return reading{}, err
	}
	reclaimable, err := parseReclaimable(b, m.unified)
	if err != nil {
		return reading{}, fmt.Errorf("%s: %w", m.stat.name, err)
	}
	return cgroupReading(usage, reclaimable), nil
}

func (m *cgroupMeter) close() {
	m.usage.close()
	m.stat.close()
}

// parseUsage reads the one number of memory.current.
func parseUsage(b []byte) (int64, error) {
	b = bytes.TrimSpace(b)
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a number of bytes", b)
	}
	return n, nil
}

// hostMeter reads what is used of the host's memory, as the source of the host counts it.
type hostMeter struct {
	limitBytes   int64
	meminfo, arc heldFile
	noARC        bool
}

func (m *hostMeter) read(buf []byte, _ float64) (reading, error) {
	b, err := m.meminfo.read(buf)
	if err != nil {
		return reading{}, err
	}
	available, err := parseAvailable(b)
	if err != nil {
		return reading{}, err
	}
	used := m.limitBytes - available
	if !m.noARC {
		switch b, err = m.arc.read(buf); {
		case errors.Is(err, unix.ENOENT):
			m.noARC = true
		case err != nil:
			return reading{}, err
		default:
			arc, err := parseARC(b)
			if err != nil {
				return reading{}, fmt.Errorf("arcstats: %w", err)
			}
			used -= int64(arc)
		}
	}
	return exactly(float64(max(used, 0))), nil
}

func (m *hostMeter) close() {
	m.meminfo.close()
	m.arc.close()
}

var memAvailable = []byte("MemAvailable:")

// parseAvailable reads MemAvailable of meminfo, in bytes.
func parseAvailable(b []byte) (int64, error) {
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		b = rest
		value, found := bytes.CutPrefix(line, memAvailable)
		if !found {
			continue
		}
		number, found := bytes.CutSuffix(bytes.TrimSpace(value), []byte(" kB"))
		n, err := strconv.ParseInt(string(number), 10, 64)
		if !found || err != nil || n < 0 || n > noLimit>>10 {
			return 0, fmt.Errorf("MemAvailable %q is not a number of kB", bytes.TrimSpace(value))
		}
		return n << 10, nil
	}
	return 0, errors.New("meminfo has no MemAvailable, which Linux has since 3.14")
}
