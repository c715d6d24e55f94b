package proc

import (
	"encoding/binary"
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
	f := func(in string, want status, ok bool) {
		t.Helper()
		got, err := parseStatus([]byte(in))
		if got != want || (err == nil) != ok {
			t.Errorf("parseStatus(%q) = %+v, %v, want %+v, ok %v", in, got, err, want, ok)
		}
	}
	parts := "RssFile:\t     12 kB\nRssShmem:\t      4 kB\nVmSwap:\t       8 kB\n"
	f("Name:\tx\nState:\tS (sleeping)\nUid:\t0\t1000\t0\t0\nVmRSS:\t 1 kB\n"+parts,
		status{state: 'S', euid: 1000, hasUID: true, hasMem: true, hasParts: true, file: 12 << 10, shmem: 4 << 10, swap: 8 << 10}, true)
	f("State:\tZ (zombie)\n", status{state: 'Z'}, true)
	f("State:\tS\nRssFile:\t 12 kB\n", status{state: 'S', file: 12 << 10}, true) // without the others: no parts
	f("State:\tS\n"+strings.Replace(parts, "12 kB", "12 MB", 1), status{state: 'S', shmem: 4 << 10, swap: 8 << 10}, true)
	f("Uid:\t0\n", status{}, false)
	f("Name:\tx\n", status{}, false)
	f("State:\t\n", status{}, false)
}

func TestParseStat(t *testing.T) {
	const tail = " S 7 1 1 0 -1 4194304 1 0 0 0 1 1 0 0 20 0 1 0 12345 1 1\n"
	f := func(in, comm string, want stat, ok bool) {
		t.Helper()
		got, err := parseStat([]byte(in))
		if string(got.comm) != comm || (err == nil) != ok {
			t.Errorf("parseStat(%q) has comm %q, %v, want %q, ok %v", in, got.comm, err, comm, ok)
		}
		got.comm = nil
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(stat{})); diff != "" {
			t.Errorf("parseStat(%q) (-want +got):\n%s", in, diff)
		}
	}
	good := stat{state: 'S', ppid: 7, start: 12345, minor: 1, user: 1, system: 1, threads: 1}
	f("12 (node)"+tail, "node", good, true)
	f("12 (a) b (c)"+tail, "a) b (c", good, true)
	f("12 ()"+tail, "", good, true)
	f("12 (kworker/0:1)"+strings.Replace(tail, "4194304", "69238880", 1), "kworker/0:1", stat{state: 'S', ppid: 7, start: 12345, kernel: true, minor: 1, user: 1, system: 1, threads: 1}, true)
	f("12 (node) S 7 1 1\n", "", stat{}, false)
	f("12 node S 7\n", "", stat{}, false)
	f("12 (node)", "", stat{}, false)
	f("12 (node)"+strings.Replace(tail, "12345", "-1", 1), "", stat{}, false)
	f("12 (node)"+strings.Replace(tail, " 7 ", " 99999999999 ", 1), "", stat{}, false)
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
		t.Error("a record that is cut off is no error")
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
		if s, err := parseStatus(b); s.file < 0 || s.shmem < 0 || s.swap < 0 || err == nil && s.state == 0 {
			t.Errorf("%q gives %+v", b, s)
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
