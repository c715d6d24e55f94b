package proc

import (
	"encoding/binary"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestParseStatm(t *testing.T) {
	f := func(in string, want statm, ok bool) {
		t.Helper()
		got, err := parseStatm([]byte(in))
		if got != want || (err == nil) != ok {
			t.Errorf("parseStatm(%q) = %v, %v, want %v, ok %v", in, got, err, want, ok)
		}
	}
	f("1000 300 200 5 0 400 0\n", statm{1000, 300, 200}, true)
	f("0 0 0 0 0 0 0\n", statm{}, true)
	f("", statm{}, false)
	f("1000\n", statm{}, false)
	f("1000 300 200", statm{}, false)          // cut off: the last number may be a part of one
	f("1000 -300 200 5 0\n", statm{}, false)   // not a number of pages
	f("1000 300x 200 5 0\n", statm{}, false)   // not a number
	f("1000 3000 200 5 0 0\n", statm{}, false) // more resident than mapped
	f("99999999999999999999 1 1\n", statm{}, false)
}

func TestParseStatus(t *testing.T) {
	f := func(in string, euid int64, want map[Figure]int64, ok bool) {
		t.Helper()
		got, err := parseStatus([]byte(in))
		if (err == nil) != ok || got.hasUID != (euid >= 0) || euid >= 0 && got.euid != uint32(euid) {
			t.Errorf("parseStatus(%q) = %+v, %v, want the user %d, ok %v", in, got, err, euid, ok)
		}
		expectFigures(t, in, &got.Figures, want)
	}
	parts := "VmHWM:\t 20 kB\nRssFile:\t     12 kB\nRssShmem:\t      4 kB\nVmSwap:\t       8 kB\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t9\n"
	all := map[Figure]int64{FigurePeak: 20 << 10, FigureFile: 12 << 10, FigureShmem: 4 << 10, FigureSwap: 8 << 10, FigureVoluntarySwitches: 7, FigureInvoluntarySwitches: 9}
	without := func(f Figure) map[Figure]int64 {
		out := maps.Clone(all)
		delete(out, f)
		return out
	}
	const state, uid = "Name:\tx\nState:\tS (sleeping)\n", "Uid:\t0\t1000\t0\t0\n"
	f(state+uid+parts, 1000, all, true)
	f("State:\tZ (zombie)\n", -1, nil, true)
	f(state+"RssFile:\t 12 kB\n", -1, map[Figure]int64{FigureFile: 12 << 10}, true)
	f(state+uid+strings.Replace(parts, "12 kB", "12 MB", 1), 1000, without(FigureFile), true)
	f(state+uid+strings.Replace(parts, "     4 kB", "", 1), 1000, without(FigureShmem), true)
	f(state+uid+strings.Replace(parts, "8 kB", "-8 kB", 1), 1000, without(FigureSwap), true)
	f(state+uid+strings.Replace(parts, "20 kB", "20", 1), 1000, without(FigurePeak), true)
	f(state+uid+strings.Replace(parts, ":\t7", ":\t7 x", 1), 1000, without(FigureVoluntarySwitches), true)
	f(state+"Uid:\t0\n\n:\n"+parts, -1, all, true)
	f("State:\t\n"+uid+parts, 1000, all, true)
	f("Name:\tx\n", -1, nil, false)
}

// expectFigures compares what is known with what is wanted.
func expectFigures(t *testing.T, in string, got *Figures, want map[Figure]int64) {
	t.Helper()
	for f := range Figure(figures) {
		v, ok := got.Get(f)
		if w, wanted := want[f]; ok != wanted || ok && v != w {
			t.Errorf("%q: figure %d is %d, %v, want %d, %v", in, f, v, ok, w, wanted)
		}
	}
}

func TestParseStat(t *testing.T) {
	const tail = " S 7 1 1 0 -1 4194304 2 0 3 0 4 5 0 0 20 0 6 0 12345 1 1\n"
	all := map[Figure]int64{FigureMinorFaults: 2, FigureMajorFaults: 3, FigureUserTime: 4, FigureSystemTime: 5, FigureThreads: 6}
	f := func(in, comm string, want stat, figures map[Figure]int64, ok bool) {
		t.Helper()
		got, err := parseStat([]byte(in))
		if string(got.comm) != comm || (err == nil) != ok {
			t.Errorf("parseStat(%q) has comm %q, %v, want %q, ok %v", in, got.comm, err, comm, ok)
		}
		expectFigures(t, in, &got.Figures, figures)
		got.comm, got.Figures = nil, Figures{}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(stat{}, Figures{})); diff != "" {
			t.Errorf("parseStat(%q) (-want +got):\n%s", in, diff)
		}
	}
	good := stat{state: 'S', ppid: 7, start: 12345}
	f("12 (node)"+tail, "node", good, all, true)
	f("12 (a) b (c)"+tail, "a) b (c", good, all, true)
	f("12 ()"+tail, "", good, all, true)
	f("12 (kworker/0:1)"+strings.Replace(tail, "4194304", "69238880", 1), "kworker/0:1", stat{state: 'S', ppid: 7, start: 12345, kernel: true}, all, true)
	f("12 (node) S 7 1 1\n", "", stat{}, nil, false)
	f("12 node S 7\n", "", stat{}, nil, false)
	f("12 (node)", "", stat{}, nil, false)
	f("12 (node)"+strings.Replace(tail, "12345", "-1", 1), "", stat{}, nil, false)
	f("12 (node)"+strings.Replace(tail, " 7 ", " 99999999999 ", 1), "", stat{}, nil, false)
	for odd, lost := range map[string]Figure{" 2 0 3": FigureMinorFaults, " 3 0 4": FigureMajorFaults, " 4 5": FigureUserTime, " 5 0 0": FigureSystemTime, " 6 0 1": FigureThreads} {
		for _, how := range []string{"-", "x", "99999999999999999999"} { // a number that wrapped, and others that are none
			rest := maps.Clone(all)
			delete(rest, lost)
			f("12 (node)"+strings.Replace(tail, odd, " "+how+strings.TrimPrefix(odd, " "), 1), "node", good, rest, true)
		}
	}
}

func TestParseIO(t *testing.T) {
	f := func(in string, want map[Figure]int64) {
		t.Helper()
		got := parseIO([]byte(in))
		expectFigures(t, in, &got, want)
	}
	f("rchar: 1\nwchar: 2\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 5\n", map[Figure]int64{FigureReadBytes: 4096, FigureWriteBytes: 8192})
	f("\nread_bytes:\nwrite_bytes: 8192", map[Figure]int64{FigureWriteBytes: 8192})
	f("read_bytes: -1\nwrite_bytes: 1 2\n", nil)
	f("", nil)
}

func TestParseSoftFDs(t *testing.T) {
	f := func(line string, want int64) {
		t.Helper()
		if got := parseSoftFDs([]byte("Limit   Soft Limit  Hard Limit  Units\n" + line)); got != want {
			t.Errorf("%q: %d, want %d", line, got, want)
		}
	}
	f("Max open files            1024                 1048576              files     \n", 1024)
	f("Max open files            unlimited            unlimited            files     \n", 1<<62)
	f("Max open files            many                 1048576              files     \n", 0)
	f("Max open files\n", 0)
	f("Max processes             1024                 1048576              processes\n", 0)
}

func TestParsersOnThisHost(t *testing.T) {
	r, err := newReader("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	pid := int32(os.Getpid())
	s, err := r.stat(pid)
	if err != nil || s.ppid != int32(os.Getppid()) || s.start == 0 || s.kernel {
		t.Errorf("own stat = %+v, %v", s, err)
	}
	u, err := r.status(pid)
	if err != nil || u.euid != uint32(os.Geteuid()) || !u.hasUID {
		t.Errorf("own status = %+v, %v", u, err)
	}
	b, err := r.file(pid, "statm", firstRead)
	if m, err2 := parseStatm(b); err != nil || err2 != nil || m.resident == 0 {
		t.Errorf("own statm %q = %+v, %v, %v", b, m, err, err2)
	}
	all, err := r.list(nil, make([]byte, 512)) // so small that it takes many calls
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, s := range all {
		found = found || s.pid == pid && s.ino != 0
	}
	if !found {
		t.Errorf("the listing of %d processes does not have this one", len(all))
	}
}

func dirent(name string, ino uint64) []byte {
	b := make([]byte, (direntName+len(name)+1+7)/8*8)
	binary.NativeEndian.PutUint64(b, ino)
	binary.NativeEndian.PutUint16(b[direntReclen:], uint16(len(b)))
	b[direntReclen+2] = unix.DT_DIR
	copy(b[direntName:], name)
	return b
}

func TestParseDirents(t *testing.T) {
	var b []byte
	for i, name := range []string{".", "1", "self", "42", "007", "4194304", "99999999999", "12x"} {
		b = append(b, dirent(name, uint64(100+i))...)
	}
	got, err := parseDirents(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	want := []seen{{1, 101}, {42, 103}, {4194304, 105}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(seen{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := parseDirents(nil, b[:len(b)-3]); err == nil {
		t.Error("a record that is cut off is not an error")
	}
}

func FuzzParseStatm(f *testing.F) {
	f.Add([]byte("1000 300 200 5 0 400 0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseStatm(b)
		if s.size < 0 || s.resident < 0 || s.shared < 0 || s.resident > s.size {
			t.Errorf("%q gives %+v", b, s)
		}
		if err != nil && s != (statm{}) {
			t.Errorf("%q gives %+v with an error", b, s)
		}
	})
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte("Name:\tx\nState:\tS (sleeping)\nUid:\t0\t1000\t0\t0\nRssFile:\t     12 kB\nRssShmem:\t 4 kB\nVmSwap:\t 8 kB\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseStatus(b)
		for f := range Figure(figures) {
			if v, ok := s.Get(f); v < 0 || err != nil && ok {
				t.Errorf("%q gives %+v, %v", b, s, err)
			}
		}
	})
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("12 (a) b) S 7 1 1 0 -1 4194304 1 0 0 0 1 1 0 0 20 0 1 0 12345 1 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseStat(b); s.ppid < 0 || err != nil && s.comm != nil {
			t.Errorf("%q gives %+v, %v", b, s, err)
		}
	})
}

func FuzzParseDirents(f *testing.F) {
	f.Add(append(dirent("1", 5), dirent("self", 6)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _ := parseDirents(nil, b)
		if len(got) > len(b)/(direntName+1) {
			t.Errorf("%d entries out of %d bytes", len(got), len(b))
		}
		for _, s := range got {
			if s.pid < 1 {
				t.Errorf("pid %d", s.pid)
			}
		}
	})
}
