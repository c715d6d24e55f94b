package safefs

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// numbered returns lines with the numbers from, from+1 and so on, n bytes or a little more.
func numbered(from, n int) string {
	var b strings.Builder
	for ; b.Len() < n; from++ {
		fmt.Fprintf(&b, "line %09d\n", from)
	}
	return b.String()
}

// onTmpfs runs f in an empty folder on a tmpfs, which cannot cut the front off a file.
func onTmpfs(t *testing.T, f func(dir string)) {
	t.Helper()
	dir := tempDir(t)
	withMounts(t, func() {
		if err := unix.Mount("none", dir, "tmpfs", 0, "size=256m"); err != nil {
			t.Error(err)
			return
		}
		f(dir)
	})
}

// What is written after the copy was made, and is more than one read takes, is in the copy or in
// the log.
func TestCopyTruncateLosesNothingThatCameLate(t *testing.T) {
	f := func(t *testing.T, dir string, compressed bool) {
		path := dir + "/app.log"
		early := numbered(0, 1<<20)
		late := numbered(strings.Count(early, "\n"), 8<<20)
		if err := os.WriteFile(path, []byte(early), 0o640); err != nil {
			t.Error(err)
			return
		}
		got, _, err := rotateAll(t.Context(), dir, RotateOptions{Compress: compressed}, nil, func() { appendTo(t, path, late) })
		files := glob(t, path+".*")
		var all strings.Builder
		for _, p := range files {
			all.WriteString(content(t, p))
		}
		all.WriteString(content(t, path))
		if err != nil || got["app.log"] != Removed || len(files) != 1 || all.String() != early+late {
			t.Errorf("%q, %v: copies %q; %d bytes of %d are left", got["app.log"], err, files, all.Len(), len(early)+len(late))
		}
	}
	for _, compressed := range []bool{false, true} {
		t.Run(fmt.Sprintf("disk, compressed %v", compressed), func(t *testing.T) { f(t, tempDir(t), compressed) })
		t.Run(fmt.Sprintf("tmpfs, compressed %v", compressed), func(t *testing.T) {
			onTmpfs(t, func(dir string) { f(t, dir, compressed) })
		})
	}
}

// A writer that never pauses loses nothing: its lines are in the copies or in the log.
func TestCopyTruncateOfAFastWriter(t *testing.T) {
	const lines = 500_000
	f := func(t *testing.T, dir string) {
		path := dir + "/app.log"
		appendTo(t, path, "")
		writer, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Error(err)
			return
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer writer.Close()
			for n := range lines {
				fmt.Fprintf(writer, "line %09d\n", n)
			}
		}()
		outcomes := make(map[Reason]int)
		for i, writing := 0, true; writing; i++ {
			select {
			case <-done:
				writing = false
			default:
			}
			got, _, err := rotateAll(t.Context(), dir, RotateOptions{
				Now: rotatedAt.Add(time.Duration(i) * time.Second), Compress: i%2 == 0,
				Oversize: func(size, _ int64) bool { return size > 64<<10 },
			}, nil, nil)
			if err != nil {
				t.Error(err)
				break
			}
			outcomes[got["app.log"]]++
		}
		<-done
		var all strings.Builder
		for _, p := range append(glob(t, path+".*"), path) {
			all.WriteString(content(t, p))
		}
		t.Logf("outcomes of the rotations: %v", outcomes)
		if want := numbered(0, lines*15); all.String() != want {
			t.Errorf("%d bytes are left of %d, or not in their places", all.Len(), len(want))
		}
		for why := range outcomes {
			if why != Removed && why != Busy && why != Changed {
				t.Errorf("skipped as %q", why)
			}
		}
	}
	t.Run("disk", func(t *testing.T) { f(t, tempDir(t)) })
	t.Run("tmpfs", func(t *testing.T) { onTmpfs(t, func(dir string) { f(t, dir) }) })
}

// A log that outgrows its copy where it can only be cut to nothing stays whole, without a copy.
func TestCopyTruncateIsBusy(t *testing.T) {
	onTmpfs(t, func(dir string) {
		path := dir + "/app.log"
		appendTo(t, path, numbered(0, 1<<20))
		got, _, err := rotateAll(t.Context(), dir, RotateOptions{}, nil, func() {
			if err := os.Truncate(path, 1<<20+maxCatchUp+1<<12); err != nil {
				t.Error(err)
			}
		})
		if info, statErr := os.Stat(path); err != nil || statErr != nil || got["app.log"] != Busy || info.Size() < 1<<20 || len(names(t, dir)) != 1 {
			t.Errorf("%v, %v, %v; files %v", got, err, statErr, names(t, dir))
		}
	})
}

// What is written between the last look and the cut is lost, and counted.
func TestCopyTruncateCountsWhatItLost(t *testing.T) {
	dir := tempDir(t)
	appendTo(t, dir+"/app.log", "a line\n")
	writer := keepOpen(t, dir+"/app.log", os.O_WRONLY|os.O_APPEND)
	for _, late := range []string{"", "late\n"} {
		fmt.Fprintln(writer, "another")
		idle(t, dir+"/app.log")
		r := NewRotator(RotateOptions{Now: rotatedAt, Oversize: func(int64, int64) bool { return true }})
		r.inWindow = func() { fmt.Fprint(writer, late) }
		if _, err := dirscan.Scan(t.Context(), dirscan.Options{Dir: dir, Select: func(name []byte) bool { return string(name) == "app.log" }, Visit: func(e *dirscan.Entry) error {
			if did, why := r.CopyTruncate(t.Context(), e); why != Removed || did.LostBytes != int64(len(late)) {
				t.Errorf("%q: %+v, %q", late, did, why)
			}
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestParseWriter(t *testing.T) {
	f := func(info string, want writer, ok bool) {
		t.Helper()
		if got, gotOK := parseWriter([]byte(info)); got != want || gotOK != ok {
			t.Errorf("%q: %+v, %v, want %+v, %v", info, got, gotOK, want, ok)
		}
	}
	f("pos:\t12\nflags:\t0102001\nmnt_id:\t25\n", writer{12, true}, true)
	f("pos:\t0\nflags:\t0100002\n", writer{}, true)
	f("pos:\t7\nflags:\t0100000\n", writer{pos: 7}, false)
	f("pos:\t0\nflags:\t012000001\n", writer{}, false) // O_PATH
	f("flags:\t9\n", writer{}, false)
	f("", writer{}, false)
}

func FuzzParseWriter(f *testing.F) {
	f.Add([]byte("pos:\t12\nflags:\t0102001\n"))
	f.Fuzz(func(t *testing.T, info []byte) {
		if w, ok := parseWriter(info); ok && !bytes.Contains(info, []byte("flags:")) {
			t.Fatalf("%q is read as %+v", info, w)
		}
	})
}
