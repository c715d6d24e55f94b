package collector

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// figure is one number of a kernel file: known, not there, or not to be understood, which err says.
type figure struct {
	value uint64
	known bool
	err   error
}

// hostMemory is what meminfo says, in bytes but for the number of pages. A line that cannot be
// understood costs its own figure and no other.
type hostMemory struct {
	total, available, swapTotal, swapFree figure
	hugetlb, hugePages, hugePageSize      figure
}

func meminfo(root string) (hostMemory, error) {
	raw, err := os.ReadFile(filepath.Join(root, "meminfo"))
	if err != nil {
		return hostMemory{}, fmt.Errorf("read meminfo: %w", err)
	}
	return parseMeminfo(raw), nil
}

// parseMeminfo reads lines of a name, a colon, a number, and kB where it is not a number of pages.
func parseMeminfo(raw []byte) (m hostMemory) {
	for line := range bytes.Lines(raw) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		unit := "kB"
		var to *figure
		switch string(bytes.TrimSpace(name)) {
		case "MemTotal":
			to = &m.total
		case "MemAvailable":
			to = &m.available
		case "SwapTotal":
			to = &m.swapTotal
		case "SwapFree":
			to = &m.swapFree
		case "Hugetlb":
			to = &m.hugetlb
		case "HugePages_Total":
			to, unit = &m.hugePages, ""
		case "Hugepagesize":
			to = &m.hugePageSize
		default:
			continue
		}
		*to = parseFigure(value, unit)
		if to.err != nil {
			to.err = fmt.Errorf("meminfo: %s %w", bytes.TrimSpace(name), to.err)
		}
	}
	return m
}

// parseFigure reads a number with its unit: kB, or none.
func parseFigure(value []byte, unit string) figure {
	fields := bytes.Fields(value)
	if len(fields) == 0 || (unit == "") != (len(fields) == 1) || len(fields) > 1 && string(fields[1]) != unit {
		return figure{err: fmt.Errorf("%q is not a number with the unit %q", bytes.TrimSpace(value), unit)}
	}
	n, err := strconv.ParseUint(string(fields[0]), 10, 64)
	if err != nil || n > noLimit>>10 {
		return figure{err: fmt.Errorf("%q is not a number that memory can have", fields[0])}
	}
	if unit != "" {
		n <<= 10
	}
	return figure{value: n, known: true}
}

// reserved returns the memory that is set aside for huge pages, in use or not; it is not known for a
// kernel without them. The line Hugetlb, of pages of all sizes, is there since Linux 4.16; before
// that only the pages of the default size are known.
func (m *hostMemory) reserved() figure {
	pages, size := m.hugePages, m.hugePageSize
	switch {
	case m.hugetlb.known, m.hugetlb.err != nil:
		return m.hugetlb
	case pages.err != nil || size.err != nil:
		return figure{err: errors.Join(pages.err, size.err)}
	case pages.known && size.known && size.value > 0 && pages.value > noLimit/size.value:
		return figure{err: fmt.Errorf("meminfo: HugePages_Total %d is not a number of pages that memory can have", pages.value)}
	case pages.known && size.known:
		return figure{value: pages.value * size.value, known: true}
	}
	return figure{}
}

// limit returns the memory that the processes of the host can have: MemTotal without what is set
// aside for huge pages. Neither MemAvailable nor the resident memory of a process counts those.
func (m *hostMemory) limit() (sizeBytes int64, err error) {
	huge := m.reserved()
	switch {
	case m.total.err != nil:
		return 0, m.total.err
	case !m.total.known:
		return 0, errors.New("meminfo has no MemTotal")
	case huge.err != nil:
		return 0, huge.err
	case huge.value >= m.total.value:
		return 0, fmt.Errorf("meminfo sets aside %d bytes for huge pages, of %d in all", huge.value, m.total.value)
	}
	return int64(m.total.value - huge.value), nil
}

// arcStats is the file of the ZFS cache, below the procfs mount.
const arcStats = "spl/kstat/zfs/arcstats"

// arcReclaimable returns how far the cache of ZFS (ARC) is above the least that it shrinks to when
// memory is needed. MemAvailable does not count that. ok is false on a host without ZFS.
func arcReclaimable(root string) (sizeBytes uint64, ok bool, err error) {
	raw, err := os.ReadFile(filepath.Join(root, arcStats))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("read the size of the ZFS cache: %w", err)
	}
	if sizeBytes, err = parseARC(raw); err != nil {
		return 0, false, fmt.Errorf("arcstats: %w", err)
	}
	return sizeBytes, true, nil
}

// parseARC returns size minus c_min, of lines "name type value" below two lines of headings.
func parseARC(raw []byte) (uint64, error) {
	var size, least uint64
	var found [2]bool
	for line := range bytes.Lines(raw) {
		fields := bytes.Fields(line)
		if len(fields) != 3 {
			continue
		}
		for i, want := range []struct {
			name string
			to   *uint64
		}{{"size", &size}, {"c_min", &least}} {
			if string(fields[0]) != want.name {
				continue
			}
			n, err := strconv.ParseUint(string(fields[2]), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s %q is not a number of bytes", want.name, fields[2])
			}
			*want.to, found[i] = n, true
		}
	}
	if !found[0] || !found[1] {
		return 0, errors.New("size and c_min are missing")
	}
	return size - min(least, size), nil
}
