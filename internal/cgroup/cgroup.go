package cgroup

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	mountsEvery = 10 * time.Minute

	// hostSysfs is where containers have the host's sysfs by custom, and the shipped manifests do.
	hostSysfs = "/host/sys"
)

// ErrOutside says that a cgroup cannot be seen from the cgroup namespace of this process. It is one
// condition of this process, whichever cgroups are concerned.
var ErrOutside = errors.New("not seen from inside this container: mount the host's /sys at /host/sys, or write memory.limit")

// ErrUnmounted says that a cgroup may have a limit and that no hierarchy which would show it is mounted
// where this process looks. It is one condition of this process, whichever cgroups are concerned.
var ErrUnmounted = errors.New("no hierarchy of cgroups that counts its memory is mounted here: mount the host's /sys, write --path.sysfs, or write memory.limit")

// Options configure a Tree.
type Options struct {
	Procfs string // default /proc
	Sysfs  string // default /sys; the hierarchies are mounted below its fs/cgroup
	PID    int    // of this process; default its own
}

// Tree is the cgroup hierarchies of the host, or as much of them as can be seen. It is safe for
// concurrent use.
type Tree struct {
	opts Options
	host string // where containers have the host's sysfs

	mu          sync.Mutex
	sysfs       string // where the hierarchies were found
	hierarchies []hierarchy
	at          time.Time
}

// NewTree returns a Tree that has read nothing yet.
func NewTree(o Options) *Tree {
	if o.Procfs == "" {
		o.Procfs = "/proc"
	}
	if o.Sysfs == "" {
		o.Sysfs = "/sys"
	}
	if o.PID == 0 {
		o.PID = os.Getpid()
	}
	return &Tree{opts: o, host: hostSysfs, sysfs: o.Sysfs}
}

// Group is the folders of one cgroup: its own first, then those above it up to the top of what is
// mounted.
type Group struct {
	Dirs    []string
	Unified bool // version 2
}

// Sysfs returns the folder below whose fs/cgroup the hierarchies are.
func (t *Tree) Sysfs(now time.Time) string {
	t.look(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sysfs
}

// Versions reports which hierarchies can be seen: the unified one (version 2), and the memory controller
// of version 1.
func (t *Tree) Versions(now time.Time) (v2, v1 bool) {
	for _, h := range t.look(now) {
		v2, v1 = v2 || h.unified, v1 || !h.unified
	}
	return v2, v1
}

// Find returns the folders of the cgroups that a process is in, given by their paths as Resolve
// returns them: in the unified hierarchy, and in version 1's memory controller. The error is an
// ErrOutside, an ErrUnmounted, or the kernel's.
func (t *Tree) Find(now time.Time, v2, v1 string) ([]Group, error) {
	var out []Group
	hierarchies := t.look(now)
	if t.hidden(hierarchies, v2, v1) {
		return nil, fmt.Errorf("cgroup %q: %w", cmp.Or(v1, v2), ErrUnmounted)
	}
	for _, h := range hierarchies {
		cg := v1
		if h.unified {
			cg = v2
		}
		if cg == "" {
			continue
		}
		dirs, err := h.locate(cg)
		if err != nil {
			return nil, err
		}
		out = append(out, Group{Dirs: dirs, Unified: h.unified})
	}
	return out, nil
}

// hidden reports whether a limit may exist that no hierarchy shows. A process is in the memory
// controller of version 1 where it has a path in it, else in that of version 2. The root of all cgroups
// has no limit, but what a namespace of cgroups calls so may have one.
func (t *Tree) hidden(hierarchies []hierarchy, v2, v1 string) bool {
	cg := cmp.Or(v1, v2)
	for _, h := range hierarchies {
		if h.unified == (v1 == "") {
			return false
		}
	}
	return cg != "" && (cg != "/" || t.namespaced())
}

// firstNamespace is PROC_CGROUP_INIT_INO of the kernel's include/linux/proc_ns.h.
const firstNamespace = "cgroup:[4026531835]"

// namespaced reports whether this process is in a namespace of cgroups of its own, as in a container.
func (t *Tree) namespaced() bool {
	space, err := os.Readlink(filepath.Join(t.opts.Procfs, "self/ns/cgroup"))
	return err == nil && space != firstNamespace
}

// Resolve returns a path that was read in /proc/PID/cgroup as the host has it, in place where it is
// so already and else appended to dst. A path that leads out of what can be seen stays as it is.
func (t *Tree) Resolve(now time.Time, dst []byte, unified bool, path []byte) []byte {
	if len(path) == 0 {
		return path
	}
	for _, h := range t.look(now) {
		if h.unified == unified && h.begin != "" {
			return h.resolve(dst, path)
		}
	}
	return path
}

// look returns the hierarchies, which are looked for every ten minutes.
func (t *Tree) look(now time.Time) []hierarchy {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.at.IsZero() && now.Sub(t.at) < mountsEvery && !now.Before(t.at) {
		return t.hierarchies
	}
	var all []hierarchy
	if b, err := os.ReadFile(filepath.Join(t.opts.Procfs, "self/mountinfo")); err == nil {
		all = parseMounts(b)
	}
	found, sysfs := t.choose(all)
	for i := range found {
		h := &found[i]
		if !h.above() {
			continue
		}
		if h.begin = t.known(h); h.begin == "" {
			h.begin = t.beginning(h, all)
		}
	}
	t.hierarchies, t.sysfs, t.at = found, sysfs, now
	return found
}

// choose returns the hierarchies below sysfs or, in a container to which these show only itself,
// those below /host/sys where they show the host's.
func (t *Tree) choose(all []hierarchy) (found []hierarchy, sysfs string) {
	base := filepath.Join(t.opts.Sysfs, "fs/cgroup")
	found = below(all, base)
	if len(found) == 0 {
		found = guessMounts(base)
	}
	for _, h := range found {
		if h.above() {
			return found, t.opts.Sysfs
		}
	}
	host := below(all, filepath.Join(t.host, "fs/cgroup"))
	for _, h := range host {
		if h.above() {
			return host, t.host
		}
	}
	return found, t.opts.Sysfs
}

// known returns where the namespace begins as it was found before: it does not move, unless its
// folder is gone.
func (t *Tree) known(h *hierarchy) string {
	for i := range t.hierarchies {
		if old := &t.hierarchies[i]; old.begin != "" && old.dir == h.dir && old.root == h.root && exists(old.dir, old.begin) {
			return old.begin
		}
	}
	return ""
}

// resolve puts a path behind where the namespace begins, and goes up from there.
func (h *hierarchy) resolve(dst, path []byte) []byte {
	begin, raw := h.begin, path
	for bytes.Equal(path, []byte("/..")) || bytes.HasPrefix(path, []byte("/../")) {
		if begin == "" {
			return raw // above what is mounted
		}
		begin = begin[:strings.LastIndexByte(begin, '/')]
		path = path[len("/.."):]
	}
	dst = append(dst[:0], begin...)
	if len(path) > 1 || begin == "" && len(path) == 1 {
		dst = append(dst, path...)
	}
	if len(dst) == 0 {
		dst = append(dst, '/')
	}
	return dst
}

// locate returns the folders from that of a cgroup up to the top.
func (h *hierarchy) locate(cg string) ([]string, error) {
	switch {
	case isAbove(cg) && h.above():
		return nil, fmt.Errorf("cgroup %q: this process's own cgroup was not found in %s, so the way from there is not known: write memory.limit", cg, h.dir)
	case isAbove(cg):
		return nil, fmt.Errorf("cgroup %q is %w", cg, ErrOutside)
	case h.root != "/" && !h.above() && (cg == h.root || strings.HasPrefix(cg, h.root+"/")):
		cg = cg[len(h.root):]
	case h.root != "/" && !h.above(): // without a namespace, where the mount shows a part of the hierarchy
		return nil, fmt.Errorf("cgroup %q is %w", cg, ErrOutside)
	}
	cg = path.Clean("/" + cg)
	if _, err := os.Stat(filepath.Join(h.dir, cg)); err != nil {
		return nil, fmt.Errorf("cgroup %q: %w: mount the cgroups of the host at %s, or write memory.limit", cg, err, h.dir)
	}
	var dirs []string
	for ; cg != "/"; cg = path.Dir(cg) {
		dirs = append(dirs, filepath.Join(h.dir, cg))
	}
	return append(dirs, h.dir), nil
}

// Parse finds in /proc/PID/cgroup the path in the unified hierarchy ("0::/path") and the path of
// version 1's memory controller ("4:memory:/path"). Both alias b and are nil when there is no such
// line.
func Parse(b []byte) (v2, v1 []byte) {
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		id, rest, ok1 := bytes.Cut(line, []byte(":"))
		controllers, path, ok2 := bytes.Cut(rest, []byte(":"))
		if !ok1 || !ok2 || len(path) == 0 || path[0] != '/' {
			continue
		}
		if string(id) == "0" && len(controllers) == 0 {
			v2 = path
			continue
		}
		for len(controllers) > 0 {
			var one []byte
			one, controllers, _ = bytes.Cut(controllers, []byte(","))
			if string(one) == "memory" {
				v1 = path
			}
		}
	}
	return v2, v1
}

// Below returns a path without the levels that it goes up: what is left where it could not be
// resolved, for names.
func Below(path string) string {
	for isAbove(path) {
		path = path[len("/.."):]
	}
	return path
}
