package proc

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const longestUserMap = 64 << 10 // 340 lines at most (user_namespaces(7))

// InsideUID returns a user of this host as a process knows it that may live in a user namespace, as that
// of a rootless engine does. mapped is false when the process's namespace does not have that user: what
// is of it is not the namespace's to change. The error is the kernel's.
func InsideUID(procfs string, pid int, uid uint32) (inside uint32, mapped bool, err error) {
	text, own, err := userMap(procfs, pid)
	switch {
	case err != nil:
		return 0, false, err
	case own:
		return uid, true, nil
	}
	inside, mapped = mapUID(text, uid)
	return inside, mapped, nil
}

// UsersOf returns what reports whether the user namespace of a process has a user of this host; nil for a
// process of the exporter's own namespace, which has all of them. The error is the kernel's.
func UsersOf(procfs string, pid int) (has func(uid uint32) bool, err error) {
	text, own, err := userMap(procfs, pid)
	if err != nil || own {
		return nil, err
	}
	var ranges [][2]uint32 // the first and the last
	for line := range strings.Lines(text) {
		var first, outside, n uint32
		if _, err := fmt.Sscan(line, &first, &outside, &n); err == nil && n > 0 && outside+(n-1) >= outside {
			ranges = append(ranges, [2]uint32{outside, outside + (n - 1)})
		}
	}
	return func(uid uint32) bool {
		return slices.ContainsFunc(ranges, func(r [2]uint32) bool { return r[0] <= uid && uid <= r[1] })
	}, nil
}

// userMap reads the map of the users of a process. own says that it lives in the namespace of this
// process: of that the kernel shows the map to the one above (user_namespaces(7)).
func userMap(procfs string, pid int) (text string, own bool, err error) {
	ours, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		return "", false, err
	}
	dir := filepath.Join(procfs, strconv.Itoa(pid))
	space, err := os.Readlink(filepath.Join(dir, "ns/user"))
	if err != nil {
		return "", false, err
	}
	if space == ours {
		return "", true, nil
	}
	f, err := os.Open(filepath.Join(dir, "uid_map"))
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, longestUserMap))
	return string(b), false, err
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
