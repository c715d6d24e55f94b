package proc

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const longestUserMap = 64 << 10 // 340 lines at most (user_namespaces(7))

// InsideUID returns a user of this host as a process knows it that may live in a user namespace, as that
// of a rootless engine does. mapped is false when the process's namespace does not have that user: what
// is of it is not the namespace's to change. The error is the kernel's.
func InsideUID(procfs string, pid int, uid uint32) (inside uint32, mapped bool, err error) {
	own, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		return 0, false, err
	}
	dir := filepath.Join(procfs, strconv.Itoa(pid))
	space, err := os.Readlink(filepath.Join(dir, "ns/user"))
	if err != nil {
		return 0, false, err
	}
	// Of its own namespace the kernel shows the map to the one above (user_namespaces(7)).
	if space == own {
		return uid, true, nil
	}
	f, err := os.Open(filepath.Join(dir, "uid_map"))
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, longestUserMap))
	if err != nil {
		return 0, false, err
	}
	inside, mapped = mapUID(string(text), uid)
	return inside, mapped, nil
}

// mapUID looks a user up in a uid_map, whose lines are "first inside, first outside, how many".
func mapUID(text string, uid uint32) (inside uint32, mapped bool) {
	for line := range strings.Lines(text) {
		var first, outside, n uint32
		if _, err := fmt.Sscan(line, &first, &outside, &n); err == nil && uid >= outside && uid-outside < n {
			return first + (uid - outside), true
		}
	}
	return 0, false
}
