package safefs

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/refuse"
)

var rotatedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const stamp = ".20260102T030405Z"

// rotateAll rotates every *.log below a folder that is not empty and returns what became of each,
// and what was freed.
func rotateAll(ctx context.Context, dir string, o RotateOptions, before func(path string), atCut func()) (map[string]Reason, int64, error) {
	if o.Now.IsZero() {
		o.Now = rotatedAt
	}
	if o.Oversize == nil {
		o.Oversize = func(size, _ int64) bool { return size > 0 }
	}
	r := NewRotator(o)
	r.beforeTruncate = atCut
	out := make(map[string]Reason)
	var sum int64
	_, err := dirscan.Scan(context.Background(), dirscan.Options{
		Dir: dir, Recursive: true, Select: func(name []byte) bool { return bytes.HasSuffix(name, []byte(".log")) },
		Visit: func(e *dirscan.Entry) error {
			path := string(e.AppendPath(nil))
			if before != nil {
				before(path)
			}
			did, why := r.CopyTruncate(ctx, e)
			out[path] = why
			sum += did.FreedBytes
			return nil
		},
	})
	return out, sum, err
}

func content(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(path, ".gz") {
		return string(raw)
	}
	zip, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	text, err := io.ReadAll(zip)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) { // what a kill cuts off comes after all that is complete
		t.Fatalf("%s: %v", path, err)
	}
	return string(text)
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// names returns what is in a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// idle makes a log look as if no one had written to it for a minute.
func idle(t *testing.T, path string) {
	t.Helper()
	at := time.Now().Add(-time.Minute)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestCopyTruncate(t *testing.T) {
	for _, compressed := range []bool{false, true} {
		t.Run(fmt.Sprintf("compressed %v", compressed), func(t *testing.T) {
			dir := tempDir(t)
			path := dir + "/sub/app.log"
			text := strings.Repeat("a line of the log\n", 10000)
			appendTo(t, path, text)
			appendTo(t, dir+"/sub/empty.log", "")
			writer := keepOpen(t, path, os.O_WRONLY|os.O_APPEND)
			ext := ""
			if compressed {
				ext = ".gz"
			}
			idle(t, path)
			for _, dry := range []bool{true, false} {
				got, _, err := rotateAll(t.Context(), dir, RotateOptions{DryRun: dry, Compress: compressed}, nil, nil)
				want := map[string]Reason{"sub/app.log": Removed, "sub/empty.log": Changed}
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Fatalf("dry run %v: %v (-want +got):\n%s", dry, err, diff)
				}
				if dry && content(t, path) != text {
					t.Fatal("a dry run changed the log")
				}
			}
			if diff := cmp.Diff([]string{"app.log", "app.log" + stamp + ext, "empty.log"}, names(t, dir+"/sub")); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if got := content(t, path+stamp+ext); got != text {
				t.Errorf("the copy has %d bytes, want %d", len(got), len(text))
			}
			if _, err := fmt.Fprintln(writer, "next"); err != nil {
				t.Fatal(err)
			}
			if got := content(t, path); got != "next\n" {
				t.Errorf("the log goes on with %q", got)
			}
			info, err := os.Stat(path + stamp + ext)
			if err != nil || info.Mode() != 0o640 {
				t.Errorf("the copy: %v, %v, want the mode of the log", info.Mode(), err)
			}
			// A second one within the second has a name of its own.
			if _, _, err := rotateAll(t.Context(), dir, RotateOptions{Compress: compressed}, nil, nil); err != nil {
				t.Fatal(err)
			}
			if got := content(t, path+stamp+"-2"+ext); got != "next\n" {
				t.Errorf("the second copy: %q", got)
			}
		})
	}
}

func TestCopyTruncateFrees(t *testing.T) {
	dir := tempDir(t)
	appendTo(t, dir+"/app.log", strings.Repeat("a line of the log\n", 100_000))
	idle(t, dir+"/app.log")
	_, freed, err := rotateAll(t.Context(), dir, RotateOptions{Compress: true}, nil, nil)
	var log, zip unix.Stat_t
	if err := unix.Stat(dir+"/app.log"+stamp+".gz", &zip); err != nil {
		t.Fatal(err)
	}
	if err := unix.Stat(dir+"/app.log", &log); err != nil {
		t.Fatal(err)
	}
	if err != nil || log.Blocks != 0 || freed < 1_700_000 || freed > 1_900_000-zip.Blocks*512 {
		t.Errorf("freed %d, %v; the copy has %d blocks, the log %d", freed, err, zip.Blocks, log.Blocks)
	}
}

// A writer that does not append goes on behind a hole after each cut: as long as it has the log
// open nothing is cut. Afterwards the hole is not copied.
func TestCopyTruncateOfAWriterThatDoesNotAppend(t *testing.T) {
	dir := tempDir(t)
	path := dir + "/app.log"
	appendTo(t, path, "")
	writer := keepOpen(t, path, os.O_WRONLY)
	if _, err := writer.WriteAt([]byte("behind a hole\n"), 1<<30); err != nil {
		t.Fatal(err)
	}
	other, out := start(t, "write", path)
	if line, err := out.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatal(line, err)
	}
	rotate := func(want Reason) {
		t.Helper()
		for _, dry := range []bool{true, false} {
			got, _, err := rotateAll(t.Context(), dir, RotateOptions{DryRun: dry}, nil, nil)
			if err != nil || got["app.log"] != want {
				t.Errorf("dry run %v: %v, %v, want %q", dry, got, err, want)
			}
			if made := len(names(t, dir)) > 1; made != (want == Removed && !dry) {
				t.Errorf("dry run %v: files %v", dry, names(t, dir))
			}
		}
	}
	rotate(NotAppending) // because of both
	writer.Close()
	rotate(NotAppending) // because of the other process
	other.Process.Kill()
	other.Wait()
	rotate(Removed)
	info, err := os.Stat(path + stamp)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 1<<20 {
		t.Fatalf("the copy has %d bytes", info.Size())
	}
	if got := strings.Trim(content(t, path+stamp), "\x00"); got != "behind a hole\n" {
		t.Errorf("the copy: %q", got)
	}
}

// TestCopyTruncateRefuses: what is not the log that was seen, or not alone, stays as it is; so does
// what a link leads to.
func TestCopyTruncateRefuses(t *testing.T) {
	tests := []struct {
		name string
		do   func(t *testing.T, path, outside string) // between the look and the rotation
		want Reason
	}{
		{"exchanged for a link", func(_ *testing.T, path, outside string) {
			os.Remove(path)
			os.Symlink(outside, path)
		}, Symlink},
		{"exchanged for a hard link", func(_ *testing.T, path, outside string) {
			os.Remove(path)
			os.Link(outside, path)
		}, Changed},
		{"linked elsewhere", func(_ *testing.T, path, outside string) { os.Link(path, outside+"-2") }, Hardlink},
		{"exchanged for another file", func(_ *testing.T, path, _ string) {
			os.Rename(path, path+"-old")
			os.WriteFile(path, []byte("other"), 0o644)
		}, Changed},
		{"exchanged for a folder", func(_ *testing.T, path, _ string) {
			os.Remove(path)
			os.Mkdir(path, 0o755)
		}, NotRegular},
		{"exchanged for a fifo", func(_ *testing.T, path, _ string) {
			os.Remove(path)
			unix.Mkfifo(path, 0o644)
		}, NotRegular},
		{"gone", func(_ *testing.T, path, _ string) { os.Remove(path) }, Changed},
		{"rotated by someone else", func(_ *testing.T, path, _ string) { os.Truncate(path, 0) }, Changed},
		{"locked", func(t *testing.T, path, _ string) {
			if err := unix.Flock(int(keepOpen(t, path, os.O_RDONLY).Fd()), unix.LOCK_EX); err != nil {
				t.Fatal(err)
			}
		}, InUse},
	}
	for _, tt := range tests {
		for _, dry := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/dry run %v", tt.name, dry), func(t *testing.T) {
				top := tempDir(t)
				dir, outside := top+"/logs", top+"/outside"
				appendTo(t, dir+"/app.log", "a line\n")
				appendTo(t, outside, "precious")
				got, _, err := rotateAll(t.Context(), dir, RotateOptions{DryRun: dry}, func(string) { tt.do(t, dir+"/app.log", outside) }, nil)
				if err != nil || got["app.log"] != tt.want {
					t.Errorf("%v, %v, want %q", got, err, tt.want)
				}
				if content(t, outside) != "precious" {
					t.Error("a file outside was cut")
				}
				for _, name := range names(t, dir) {
					if strings.Contains(name, stamp) || policy.IsRotationTemp([]byte(name)) {
						t.Errorf("%s was made", name)
					}
				}
			})
		}
	}
}

// A log that someone else cuts while it is copied is not cut again: what it has now is new.
func TestCopyTruncateBesideAnother(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		dir := tempDir(t)
		path := dir + "/app.log"
		appendTo(t, path, strings.Repeat("old\n", 2000))
		if quiet {
			idle(t, path)
		}
		got, _, err := rotateAll(t.Context(), dir, RotateOptions{}, nil, func() {
			if err := os.Truncate(path, 0); err != nil {
				t.Error(err)
			}
			appendTo(t, path, "new\n")
		})
		if err != nil || got["app.log"] != Changed || content(t, path) != "new\n" || len(names(t, dir)) != 2 {
			t.Errorf("idle %v: %v, %v: the log has %q; files %v", quiet, got, err, content(t, path), names(t, dir))
		}
	}
}

// A copy whose final name means another file is not a copy: the log stays whole.
func TestCopyExchanged(t *testing.T) {
	dir := tempDir(t)
	appendTo(t, dir+"/app.log", "a line\n")
	src := keepOpen(t, dir+"/app.log", os.O_RDWR)
	fd, err := dirscan.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	c, err := NewRotator(RotateOptions{}).newCopy(fd, src, false)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.add(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	err = c.publish(func(temp string) (string, error) {
		if err := os.WriteFile(dir+"/evil", nil, 0o600); err != nil {
			return "", err
		}
		return "final", errors.Join(os.Rename(dir+"/"+temp, dir+"/hidden"), os.Rename(dir+"/evil", dir+"/final"))
	})
	if !errors.Is(err, errNotOurs) || copyReason(err) != Changed {
		t.Errorf("%v, want that the copy is not ours", err)
	}
	c.withdraw()
	if !exists(dir + "/final") {
		t.Error("a file of another user was removed")
	}
}

// A disk that is full and a run that is stopped leave the log whole and nothing next to it.
func TestCopyThatEndsEarly(t *testing.T) {
	text := strings.Repeat("a line of the log\n", 20_000)
	dir := tempDir(t)
	appendTo(t, dir+"/app.log", text)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, _, err := rotateAll(ctx, dir, RotateOptions{}, nil, nil)
	if err != nil || got["app.log"] != Stopped || content(t, dir+"/app.log") != text || len(names(t, dir)) != 1 {
		t.Errorf("stopped: %v, %v, files %v", got, err, names(t, dir))
	}
	full := tempDir(t)
	withMounts(t, func() {
		if err := unix.Mount("none", full, "tmpfs", 0, "size=512k"); err != nil {
			t.Error(err)
			return
		}
		appendTo(t, full+"/app.log", text)
		got, _, err := rotateAll(t.Context(), full, RotateOptions{}, nil, nil)
		if err != nil || got["app.log"] != "error_ENOSPC" || content(t, full+"/app.log") != text || len(names(t, full)) != 1 {
			t.Errorf("full: %v, %v, files %v", got, err, names(t, full))
		}
	})
}

// A log of another user cannot be given a copy with its owner: a dry run says so too.
func TestCopyOfSomebodyElses(t *testing.T) {
	top := tempDir(t)
	dir := top + "/logs"
	for _, d := range []string{filepath.Dir(top), top} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	appendTo(t, dir+"/app.log", "a line\n")
	for path, mode := range map[string]os.FileMode{dir: 0o777, dir + "/app.log": 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	asNobody(t, func() {
		for _, dry := range []bool{true, false} {
			got, _, err := rotateAll(t.Context(), dir, RotateOptions{DryRun: dry}, nil, nil)
			if err != nil || got["app.log"] != "error_EPERM" || len(names(t, dir)) != 1 {
				t.Errorf("dry run %v: %v, %v, files %v", dry, got, err, names(t, dir))
			}
		}
	})
	if err := os.Chown(dir+"/app.log", 65534, 65533); err != nil {
		t.Fatal(err)
	}
	if got, _, err := rotateAll(t.Context(), dir, RotateOptions{}, nil, nil); err != nil || got["app.log"] != Removed {
		t.Fatalf("as root: %v, %v", got, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir+"/app.log"+stamp, &st); err != nil || st.Uid != 65534 || st.Gid != 65533 {
		t.Errorf("the copy belongs to %d:%d, %v", st.Uid, st.Gid, err)
	}
}

func TestRenameLog(t *testing.T) {
	dir := tempDir(t)
	appendTo(t, dir+"/app.log", "a line\n")
	writer := keepOpen(t, dir+"/app.log", os.O_WRONLY|os.O_APPEND)
	rename := func(dry bool, before func()) (name string, why Reason) {
		t.Helper()
		r := NewRotator(RotateOptions{DryRun: dry, Now: rotatedAt, Oversize: func(size, _ int64) bool { return size > 0 }})
		_, err := dirscan.Scan(t.Context(), dirscan.Options{Dir: dir, Visit: func(e *dirscan.Entry) error {
			if string(e.Name) != "app.log" {
				return nil
			}
			if before != nil {
				before()
			}
			name, why = r.Rename(e)
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		return name, why
	}
	if name, why := rename(true, nil); name != "" || why != Removed || len(names(t, dir)) != 1 {
		t.Errorf("dry run: %q, %q, files %v", name, why, names(t, dir))
	}
	if _, why := rename(false, func() {
		os.Rename(dir+"/app.log", dir+"/kept")
		os.WriteFile(dir+"/app.log", []byte("other"), 0o644)
	}); why != Changed || content(t, dir+"/app.log") != "other" {
		t.Errorf("exchanged: %q", why)
	}
	if err := os.Rename(dir+"/kept", dir+"/app.log"); err != nil {
		t.Fatal(err)
	}
	if name, why := rename(false, nil); name != "app.log"+stamp || why != Removed {
		t.Errorf("%q, %q", name, why)
	}
	fmt.Fprintln(writer, "written to the old name")
	if got := content(t, dir+"/app.log"+stamp); got != "a line\nwritten to the old name\n" || exists(dir+"/app.log") {
		t.Errorf("the rotated log has %q", got)
	}
	appendTo(t, dir+"/app.log", "of the same second\n")
	if name, why := rename(false, nil); name != "app.log"+stamp+"-2" || why != Removed {
		t.Errorf("%q, %q", name, why)
	}
}

func TestCompressRotated(t *testing.T) {
	dir := tempDir(t)
	text := strings.Repeat("a line of the log\n", 10_000)
	for _, name := range []string{"free", "sub/free", "held", "changed"} {
		path := dir + "/" + name + ".log" + stamp
		appendTo(t, path, text)
		at := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	keepOpen(t, dir+"/held.log"+stamp, os.O_WRONLY)
	for _, dry := range []bool{true, false} {
		o := Options{Dir: dir, DryRun: dry, MinAge: time.Minute, AgeNs: byMtime, Now: time.Now()}
		remover := NewRemover(o)
		defer remover.Close()
		r := NewRotator(RotateOptions{DryRun: dry, Remover: remover})
		var found []Found
		if _, err := dirscan.Scan(t.Context(), dirscan.Options{Dir: dir, Recursive: true, Visit: func(e *dirscan.Entry) error {
			found = append(found, remover.Find(e))
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			name, _, _ := strings.Cut(f.Path, ".log")
			want := Removed
			switch name {
			case "held":
				want = InUse
			case "changed": // a writer that comes back
				appendTo(t, dir+"/"+f.Path, "late\n")
				if want = Changed; !dry { // it came back before this look
					want = TooYoung
				}
			}
			did, why := r.Compress(t.Context(), f)
			if why != want || why == Removed && !dry && did.FreedBytes < int64(len(text))/2 {
				t.Errorf("dry run %v: %s: %q, %+v, want %q", dry, f.Path, why, did, want)
			}
		}
	}
	if diff := cmp.Diff([]string{"changed.log" + stamp, "free.log" + stamp + ".gz", "held.log" + stamp, "sub"}, names(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if content(t, dir+"/sub/free.log"+stamp+".gz") != text {
		t.Error("what was compressed is not what the log had")
	}
}

// A rotated log that changes while it is compressed stays, and its gzip file goes.
func TestCompressWithdraws(t *testing.T) {
	dir := tempDir(t)
	path := dir + "/app.log" + stamp
	appendTo(t, path, "a line\n")
	fd, err := dirscan.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	remover := NewRemover(Options{Dir: dir, Now: time.Now().Add(time.Hour)})
	defer remover.Close()
	var found Found
	if _, err := dirscan.Scan(t.Context(), dirscan.Options{Dir: dir, Visit: func(e *dirscan.Entry) error {
		found = remover.Find(e)
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	src := keepOpen(t, path, os.O_RDONLY)
	keepOpen(t, path, os.O_RDONLY) // someone has opened it meanwhile
	r := NewRotator(RotateOptions{Remover: remover})
	if _, why := r.replace(t.Context(), fd, src, found, "app.log"+stamp); why != InUse {
		t.Errorf("%q, want %q", why, InUse)
	}
	if diff := cmp.Diff([]string{"app.log" + stamp}, names(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// TestKilledRotation kills a rotation at random moments: every line that stood in the log before
// is in the log or in a rotated one afterwards.
func TestKilledRotation(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	var states [3]int
	for i := range 20 {
		dir := tempDir(t)
		var text strings.Builder
		for line := range 100_000 {
			fmt.Fprintf(&text, "line %d of run %d\n", line, i)
		}
		appendTo(t, dir+"/app.log", text.String())
		if i%4 < 2 {
			idle(t, dir+"/app.log")
		}
		what := "rotate"
		if i%2 == 1 {
			what = "rotate compressed"
		}
		cmd, out := start(t, what, dir)
		if line, err := out.ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatal(line, err)
		}
		begun := func() bool { return len(names(t, dir)) > 1 }
		named := func() bool { return len(glob(t, dir+"/app.log.*")) > 0 }
		cut := func() bool {
			info, err := os.Stat(dir + "/app.log")
			return err == nil && info.Size() < int64(text.Len())
		}
		for begin, wait := time.Now(), []func() bool{begun, named, cut}[i%3]; !wait() && time.Since(begin) < 10*time.Second; {
		}
		for range random.IntN(20) { // and a little more
			_ = names(t, dir)
		}
		cmd.Process.Kill()
		cmd.Wait()
		live := content(t, dir+"/app.log")
		rotated := ""
		for _, path := range glob(t, dir+"/app.log.*") {
			if info, err := os.Stat(path); err == nil && info.Size() == 0 && strings.Contains(os.Getenv(refuse.Variable), "renameat2") {
				continue // the file that moveTo had made for the name
			}
			rotated += content(t, path)
		}
		if live != text.String() && rotated+live != text.String() {
			t.Fatalf("run %d: the log has %d bytes and the rotated ones %d, want %d in one of them or both", i, len(live), len(rotated), text.Len())
		}
		switch {
		case live != text.String():
			states[2]++
		case rotated != "":
			states[1]++
		default:
			states[0]++
		}
	}
	if states[0] == 0 || states[2] == 0 {
		t.Errorf("%v: no run was killed in its middle, or none got further", states)
	}
	t.Logf("killed while copying %d times, before the cut %d, after it %d times", states[0], states[1], states[2])
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	out, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
