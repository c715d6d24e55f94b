package evidence

import (
	"errors"
	"hash/maphash"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// TestMappingsGrow: memory that this process maps is named by its range, and that of a file by the file.
func TestMappingsGrow(t *testing.T) {
	var m Mapped
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	members := []proc.Member{{PID: os.Getpid(), Resident: 1}}
	look := func(minutes int) *Mappings {
		t.Helper()
		if err := m.Look("/proc", "t", members, now.Add(time.Duration(minutes)*time.Minute), nil); err != nil {
			t.Fatal(err)
		}
		return m.Of("t")
	}
	mapped := func(fd, size, flags int) {
		t.Helper()
		b, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Munmap(b) })
		for i := 0; i < len(b); i += os.Getpagesize() {
			b[i] = 1
		}
	}
	first := look(0)
	if len(first.Grew.Rows) != 0 || first.Newest.Total < 1<<20 || first.Newest.Kind != KindMapping {
		t.Errorf("%+v", first)
	}
	mapped(-1, 48<<20, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	f, err := os.Create(t.TempDir() + "/video.cache")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(24 << 20); err != nil {
		t.Fatal(err)
	}
	mapped(int(f.Fd()), 24<<20, unix.MAP_SHARED)
	got := look(15)
	rows := got.Grew.Rows
	if len(rows) < 2 || !strings.HasPrefix(rows[0].Name, "anonymous range ") || rows[0].Bytes < 47<<20 || rows[0].Bytes > 60<<20 {
		t.Fatalf("%+v", rows)
	}
	if rows[1].Name != "file" || !strings.HasSuffix(rows[1].File, "/video.cache") || strings.Count(rows[1].File, "/") != 1 || rows[1].Bytes != 24<<20 {
		t.Errorf("%+v", rows[1])
	}
	if got.Newest.Pause <= 0 || got.Grew.Culprit != nil {
		t.Errorf("%+v", got)
	}
	members[0].Start = now // another start
	if again := look(30); len(again.Grew.Rows) != 0 {
		t.Errorf("of another start: %+v", again.Grew.Rows)
	}
}

// TestMappingsAreGated: a large process is not read, as for PSS, and one that is gone is an error.
func TestMappingsAreGated(t *testing.T) {
	var m Mapped
	large := []proc.Member{{PID: os.Getpid(), Resident: 1}, {PID: os.Getpid(), Resident: mostMapped + 1}}
	if err := m.Look("/proc", "t", large, time.Now(), nil); !errors.Is(err, ErrTooLarge) || m.Of("t") != nil {
		t.Errorf("%v, %+v", err, m.Of("t"))
	}
	if err := m.Look(t.TempDir(), "t", large[:1], time.Now(), nil); !errors.Is(err, os.ErrNotExist) || m.Of("t") != nil {
		t.Errorf("%v, %+v", err, m.Of("t"))
	}
	if err := m.Look("/proc", "t", nil, time.Now(), nil); err != nil || m.Of("t") != nil {
		t.Errorf("no process: %v", err)
	}
}

const smaps = `55d0a0000000-55d0a0021000 rw-p 00000000 00:00 0                          [heap]
Rss:                 100 kB
Pss:                  90 kB
Swap:                 28 kB
VmFlags: rd wr mr mw me ac
7f0000000000-7f0004000000 rw-p 00000000 00:00 0
Rss:               65536 kB
7f0008000000-7f0008001000 rwxp 00000000 00:00 0
Rss:                   4 kB
7f0010000000-7f0010100000 r-xp 00000000 08:01 77   /opt/acme secret/lib/libx.so.1
Rss:                1024 kB
7f0011000000-7f0011100000 rw-p 00000000 00:00 0   [anon:scudo:primary]
Rss:                  16 kB
`

func TestDecodeSmaps(t *testing.T) {
	seed := maphash.MakeSeed()
	out := newRows(nil)
	if err := decodeSmaps(strings.NewReader(smaps), seed, out); err != nil {
		t.Fatal(err)
	}
	var p Profile
	out.into(&p)
	var got []string
	for _, r := range p.Rows {
		name, _, _ := strings.Cut(r.Name, "range ")
		got = append(got, Place(name, r.File, 0))
	}
	want := "anonymous |file lib/libx.so.1|[heap]|anonymous scudo:primary]|anonymous, small ranges with code"
	if strings.Join(got, "|") != want || p.Rows[0].Bytes != 64<<20 || p.Rows[2].Bytes != 128<<10 {
		t.Errorf("%q, want %q: %+v", strings.Join(got, "|"), want, p.Rows)
	}
	for _, bad := range []string{"", "x", "Rss: 5 kB\n", "9-1 rw-p 0 0 0\n", "1-2 r 0 0 0\n", strings.Repeat("x", 100<<10)} {
		if err := decodeSmaps(strings.NewReader(bad), seed, newRows(nil)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.20q: %v, want ErrInvalid", bad, err)
		}
	}
}

func FuzzDecodeSmaps(f *testing.F) {
	f.Add(smaps)
	seed := maphash.MakeSeed()
	f.Fuzz(func(t *testing.T, text string) {
		out := newRows(nil)
		if decodeSmaps(strings.NewReader(text), seed, out) == nil && (out.total < 0 || out.total > maxBytes) {
			t.Errorf("%q: %d", text, out.total)
		}
	})
}
