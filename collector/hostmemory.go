package collector

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/prometheus/procfs"
)

func meminfo(root string) (procfs.Meminfo, error) {
	mount, err := procfs.NewFS(root)
	if err != nil {
		return procfs.Meminfo{}, fmt.Errorf("open procfs: %w", err)
	}
	info, err := mount.Meminfo()
	if err != nil {
		return procfs.Meminfo{}, fmt.Errorf("read meminfo: %w", err)
	}
	return info, nil
}

// hugetlb returns the memory that is set aside for huge pages, in use or not; ok is false for a
// kernel without them. The line Hugetlb, of pages of all sizes, is there since Linux 4.16; before
// that only the pages of the default size are known.
func hugetlb(info *procfs.Meminfo) (sizeBytes uint64, ok bool) {
	switch {
	case info.HugetlbBytes != nil:
		return *info.HugetlbBytes, true
	case info.HugePagesTotal != nil && info.HugepagesizeBytes != nil:
		return *info.HugePagesTotal * *info.HugepagesizeBytes, true
	}
	return 0, false
}

// hostLimit returns the memory that the processes of the host can have: MemTotal without what is
// set aside for huge pages. Neither MemAvailable nor the resident memory of a process counts those.
func hostLimit(info *procfs.Meminfo) (sizeBytes int64, err error) {
	if info.MemTotalBytes == nil {
		return 0, errors.New("meminfo has no MemTotal")
	}
	huge, _ := hugetlb(info)
	if huge >= *info.MemTotalBytes {
		return 0, fmt.Errorf("meminfo sets aside %d bytes for huge pages, of %d in all", huge, *info.MemTotalBytes)
	}
	return int64(*info.MemTotalBytes - huge), nil
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
