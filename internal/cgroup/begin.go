package cgroup

import (
	"bytes"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	mostFolders   = 20_000  // of a hierarchy that are looked at to find where the namespace begins
	longestMember = 1 << 20 // bytes of a cgroup.procs
)

// beginning returns where the namespace of this process begins in a hierarchy that shows more than
// that, "" when it was not found. The root of the mount says how deep it is: "/../.." is two levels
// above it.
func (t *Tree) beginning(h *hierarchy, all []hierarchy) string {
	depth := strings.Count(h.root, "/..")
	for i := range all {
		own := &all[i] // another mount of the same hierarchy, which shows it from there
		if own.device != h.device || own.root != "/" {
			continue
		}
		if dev, ino, ok := inode(own.dir); ok {
			return findFolder(h.dir, depth, func(dir string, level int) bool {
				d, n, ok := inode(dir)
				return ok && level == depth && d == dev && n == ino
			})
		}
	}
	return t.beginningByMember(h, depth)
}

// beginningByMember looks for the cgroup that this process is a member of, for where no mount shows
// the namespace itself: a container whose own /sys/fs/cgroup was mounted over by the host's.
func (t *Tree) beginningByMember(h *hierarchy, depth int) string {
	b, err := os.ReadFile(filepath.Join(t.opts.Procfs, "self/cgroup"))
	if err != nil {
		return ""
	}
	v2, v1 := Parse(b)
	own := string(v1)
	if h.unified {
		own = string(v2)
	}
	if own == "" || isAbove(own) {
		return ""
	}
	own = strings.TrimSuffix(path.Clean(own), "/")
	level := depth + strings.Count(own, "/")
	found := findFolder(h.dir, level, func(dir string, at int) bool {
		return at == level && strings.HasSuffix(dir, own) && isMember(dir, t.opts.PID)
	})
	return strings.TrimSuffix(found, own)
}

// findFolder walks the folders of a hierarchy, those near its top first and none deeper than depth,
// and returns the path below dir of the first that is the one; "" when there is none.
func findFolder(dir string, depth int, is func(dir string, level int) bool) string {
	level, left := []string{""}, mostFolders
	for at := 0; at <= depth; at++ {
		var next []string
		for _, rel := range level {
			if left--; left < 0 {
				return ""
			}
			full := filepath.Join(dir, rel)
			if is(full, at) {
				return rel
			}
			if at == depth {
				continue
			}
			entries, err := os.ReadDir(full) // one that was removed meanwhile has none
			if err != nil {
				continue
			}
			for _, e := range entries {
				if e.IsDir() {
					next = append(next, rel+"/"+e.Name())
				}
			}
		}
		level = next
	}
	return ""
}

func inode(dir string) (dev, ino uint64, ok bool) {
	info, err := os.Stat(dir)
	if err != nil {
		return 0, 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return st.Dev, st.Ino, true
}

// isMember reports whether a process is a member of a cgroup. The kernel writes the numbers as the
// reader's pid namespace has them.
func isMember(dir string, pid int) bool {
	f, err := os.Open(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, longestMember))
	if err != nil {
		return false
	}
	want := []byte(strconv.Itoa(pid))
	for line := range bytes.Lines(b) {
		if bytes.Equal(bytes.TrimSpace(line), want) {
			return true
		}
	}
	return false
}
