package safefs

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// descriptors are the open descriptors of regular files on this host, as far as this user may see
// them.
type descriptors struct {
	root  string
	paths map[fileID][]string // "PID/fd/N" below root
	at    time.Time
	took  time.Duration
}

// writer is a descriptor through which a process writes to a file.
type writer struct {
	pos     int64 // where its last write ended
	appends bool
}

func scanHolders(root string) *descriptors {
	d := &descriptors{root: root, paths: make(map[fileID][]string), at: time.Now()}
	pids, err := os.ReadDir(root)
	if err != nil {
		return d
	}
	var st unix.Statx_t
	for _, p := range pids {
		if strings.Trim(p.Name(), "0123456789") != "" {
			continue
		}
		dir := p.Name() + "/fd"
		fds, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			continue // gone, or not ours to look into
		}
		for _, fd := range fds {
			path := dir + "/" + fd.Name()
			if id, ok := d.file(path, &st); ok {
				d.paths[id] = append(d.paths[id], path)
			}
		}
	}
	d.took = time.Since(d.at)
	return d
}

// file returns the regular file that a descriptor means.
func (d *descriptors) file(path string, st *unix.Statx_t) (id fileID, ok bool) {
	err := statPath(unix.AT_FDCWD, filepath.Join(d.root, path), unix.AT_STATX_DONT_SYNC, unix.STATX_INO|unix.STATX_TYPE, st)
	return fileID{st.Dev_major, st.Dev_minor, st.Ino}, err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
}

// stale is as in openFiles.
func (d *descriptors) stale() bool { return time.Since(d.at) > max(2*time.Second, 20*d.took) }

// of returns the writers of a file, by descriptor, as they are now.
func (d *descriptors) of(id fileID) map[string]writer {
	out := make(map[string]writer)
	var st unix.Statx_t
	for _, path := range d.paths[id] {
		if now, ok := d.file(path, &st); !ok || now != id {
			continue
		}
		info, err := os.ReadFile(filepath.Join(d.root, strings.Replace(path, "/fd/", "/fdinfo/", 1)))
		if err != nil {
			continue
		}
		if w, ok := parseWriter(info); ok {
			out[path] = w
		}
	}
	return out
}

// parseWriter reads /proc/pid/fdinfo/fd (proc(5)): "pos:\t123\nflags:\t0102001\n...", the flags in
// octal. ok is false for a descriptor that cannot write.
func parseWriter(info []byte) (w writer, ok bool) {
	for line := range bytes.Lines(info) {
		key, value, _ := bytes.Cut(line, []byte(":"))
		text := string(bytes.TrimSpace(value))
		switch string(key) {
		case "pos":
			w.pos, _ = strconv.ParseInt(text, 10, 64)
		case "flags":
			flags, err := strconv.ParseInt(text, 8, 64)
			ok = err == nil && flags&unix.O_ACCMODE != unix.O_RDONLY && flags&unix.O_PATH == 0
			w.appends = flags&unix.O_APPEND != 0
		}
	}
	return w, ok
}

// appended reports whether all writers of a log append, as far as they can be seen.
func (r *Rotator) appended(id fileID) Reason {
	if r.writers == nil || r.writers.stale() {
		r.writers = scanHolders(r.opts.ProcRoot)
	}
	for _, w := range r.writers.of(id) {
		if !w.appends {
			return NotAppending
		}
	}
	return Removed
}

// initPIDs is the PID namespace of the host (PROC_PID_INIT_INO in include/linux/proc_ns.h).
const initPIDs = "pid:[4026531836]"

// mayHide reports whether a process of a user, or one outside of this container, may write to a log
// without being seen.
func (r *Rotator) mayHide(uid uint32) bool {
	if r.look.now().hides(uid) {
		return true
	}
	is, err := os.Readlink(filepath.Join(r.opts.ProcRoot, "self/ns/pid"))
	return r.opts.ProcRoot == "/proc" && (err != nil || is != initPIDs)
}

// maxNames bounds how many names of a folder wasRotated looks at.
const maxNames = 10_000

// wasRotated reports whether a log has been rotated before. If there is a hole between its data again,
// a writer that cannot be seen went on at its old place after the cut (app >>log 2>log): each
// rotation would be longer than the one before by all that was cut.
func (r *Rotator) wasRotated(dirfd int, log string) bool {
	fd, err := dirscan.OpenBeneath(dirfd, ".") // a listing of its own
	if err != nil {
		return false
	}
	f := os.NewFile(uintptr(fd), log)
	defer f.Close()
	names, _ := f.Readdirnames(maxNames) // with an error the names that were read decide
	return slices.ContainsFunc(names, func(name string) bool {
		rotated, ok := r.opts.Naming.Parse([]byte(name))
		return ok && string(rotated.Log) == log
	})
}

// lostBytes returns how much was written behind an offset that everything was copied up to, by
// writers that moved meanwhile.
func lostBytes(before, after map[string]writer, copied int64) (n int64) {
	for path, w := range after {
		if w.appends && w.pos != before[path].pos {
			n = max(n, w.pos-copied)
		}
	}
	return n
}
