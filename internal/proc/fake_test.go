package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var epoch = time.UnixMilli(1_700_000_000_000)

// fakeProc is a procfs of plain files.
type fakeProc struct {
	t   testing.TB
	dir string
}

// fakeProcess has a usable value for every field that is zero.
type fakeProcess struct {
	pid, ppid        int
	comm             string
	exe, cmdline     string
	uid              int
	start            int // ticks after the boot at epoch - 1h
	state            string
	flags            int
	resident, shared int // pages
	shmem, swap      int // kilobytes
	cgroup           string
}

func newFake(t testing.TB) *fakeProc {
	t.Helper()
	f := &fakeProc{t: t, dir: t.TempDir()}
	f.write("stat", fmt.Sprintf("cpu  1 2 3 4 5 6 7 8 9 10\nbtime %d\n", epoch.Add(-time.Hour).Unix()))
	return f
}

func (f *fakeProc) path(parts ...string) string {
	return filepath.Join(append([]string{f.dir}, parts...)...)
}

func (f *fakeProc) write(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name), []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// put writes a process, in place where it exists already: its inode stays.
func (f *fakeProc) put(p fakeProcess) {
	f.t.Helper()
	f.fill(strconv.Itoa(p.pid), p)
}

func (f *fakeProc) fill(dir string, p fakeProcess) {
	f.t.Helper()
	if err := os.MkdirAll(f.path(dir), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if p.state == "" {
		p.state = "S"
	}
	if p.ppid == 0 {
		p.ppid = 1
	}
	if p.start == 0 {
		p.start = 1000
	}
	if p.cgroup == "" {
		p.cgroup = "0::/\n"
	}
	page := os.Getpagesize() / 1024
	f.write(dir+"/stat", fmt.Sprintf("%d (%s) %s %d 1 1 0 -1 %d 1 0 0 0 1 1 0 0 20 0 1 0 %d 1 1\n", p.pid, p.comm, p.state, p.ppid, p.flags, p.start))
	size := 2*p.resident + 10
	if p.state == "Z" {
		size, p.resident, p.shared = 0, 0, 0
	}
	f.write(dir+"/statm", fmt.Sprintf("%d %d %d 1 0 1 0\n", size, p.resident, p.shared))
	f.write(dir+"/status", fmt.Sprintf("Name:\t%s\nState:\t%s (x)\nUid:\t0\t%d\t0\t0\nVmHWM:\t%d kB\nVmRSS:\t%d kB\nRssAnon:\t%d kB\nRssFile:\t%d kB\nRssShmem:\t%d kB\nVmSwap:\t%d kB\n",
		p.comm, p.state, p.uid, p.resident*page, p.resident*page, (p.resident-p.shared)*page, p.shared*page-p.shmem, p.shmem, p.swap))
	f.write(dir+"/cmdline", strings.ReplaceAll(p.cmdline, " ", "\x00")+"\x00")
	f.write(dir+"/comm", p.comm+"\n")
	f.write(dir+"/cgroup", p.cgroup)
	if p.exe != "" {
		_ = os.Remove(f.path(dir, "exe"))
		if err := os.Symlink(p.exe, f.path(dir, "exe")); err != nil {
			f.t.Fatal(err)
		}
	}
}

// replace puts a process in a new directory, which has another inode than the old one.
func (f *fakeProc) replace(p fakeProcess) {
	f.t.Helper()
	f.fill("new", p)
	f.remove(p.pid)
	if err := os.Rename(f.path("new"), f.path(strconv.Itoa(p.pid))); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fakeProc) remove(pid int) {
	f.t.Helper()
	if err := os.RemoveAll(f.path(strconv.Itoa(pid))); err != nil {
		f.t.Fatal(err)
	}
}

// watched is a Tracker with a clock of its own.
type watched struct {
	*Tracker
	t   testing.TB
	now time.Time
}

func watch(t testing.TB, o Options) *watched {
	t.Helper()
	tracker, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tracker.Close() })
	return &watched{tracker, t, epoch}
}

// tick refreshes after d.
func (w *watched) tick(d time.Duration) {
	w.t.Helper()
	w.now = w.now.Add(d)
	if err := w.Refresh(w.t.Context(), w.now); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) usage(target string) Usage {
	w.t.Helper()
	u, err := w.Usage(target)
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

// pids returns the members of a target as text: "10 11*", * being a child.
func (w *watched) pids(target string) string {
	var out []string
	for _, m := range w.Members(target) {
		s := strconv.Itoa(m.PID)
		if m.Child {
			s += "*"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func target(name string, c Config) Target { return Target{Name: name, Config: c} }

func openDescriptors(t testing.TB) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}
