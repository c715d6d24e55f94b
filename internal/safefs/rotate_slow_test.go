package safefs

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/refuse"
)

// onFUSE runs f on a folder through a file system that a program serves, which cannot cut the front off a
// file, and gives its path on the disk below.
func onFUSE(t *testing.T, f func(dir, below string), options ...string) {
	t.Helper()
	program, err := exec.LookPath("bindfs")
	if err != nil {
		t.Skip("bindfs is not installed")
	}
	dir, below := tempDir(t), tempDir(t)
	daemon := exec.Command(program, append(options, "-f", below, dir)...)
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer daemon.Wait()
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			daemon.Process.Kill()
		}
	}()
	for end, tick := time.Now().Add(10*time.Second), time.NewTicker(10*time.Millisecond); ; <-tick.C {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) == nil && st.Type == unix.FUSE_SUPER_MAGIC {
			break
		}
		if time.Now().After(end) {
			daemon.Process.Kill()
			t.Skip("bindfs cannot mount here")
		}
	}
	f(dir, below)
}

// all returns what the copies of a log and the log have, in the order in which it was written.
func all(t *testing.T, path string) string {
	t.Helper()
	var b strings.Builder
	for _, p := range append(glob(t, path+".*"), path) {
		b.WriteString(content(t, p))
	}
	return b.String()
}

// A writer of 50 MB/s on a disk that reads 40 MB/s loses nothing that is not reported. While it writes the log
// is not cut, where only a cut to nothing is to be had; the copy of what it never stops adding to ends at
// its bound.
func TestCopyTruncateOnASlowDisk(t *testing.T) {
	if os.Getenv(refuse.Variable) != "" {
		t.Skip("it takes long, and no call that is refused matters to it")
	}
	const rate, seconds = 50 << 20, 2
	onFUSE(t, func(dir, below string) {
		path := dir + "/app.log"
		appendTo(t, path, "")
		writer, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan string, 1)
		go func() {
			defer writer.Close()
			const ticks = 100 * seconds
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			var sent strings.Builder
			for n := range ticks {
				chunk := numbered(n*rate/100/15, rate/100)
				fmt.Fprint(writer, chunk)
				sent.WriteString(chunk)
				<-tick.C
			}
			done <- sent.String()
		}()
		var sent string
		var lost int64
		outcomes := make(map[Reason]int)
		for i := 0; sent == "" || outcomes[Removed] == 0; i++ {
			select {
			case sent = <-done:
			default:
			}
			out, why := rotateOne(t, dir, RotateOptions{
				Now: rotatedAt.Add(time.Duration(i) * time.Second), Oversize: func(size, _ int64) bool { return size > 1<<20 },
			})
			outcomes[why]++
			lost += out.LostBytes
		}
		kept := all(t, below+"/app.log")
		t.Logf("%d bytes written, %d kept, %d reported as lost, outcomes of the rotations: %v", len(sent), len(kept), lost, outcomes)
		if int64(len(kept))+lost != int64(len(sent)) || lost == 0 && kept != sent {
			t.Errorf("%d bytes are left of %d and %d are reported as lost, or they are not in their places", len(kept), len(sent), lost)
		}
		for why := range outcomes {
			if why != Removed && why != Busy && why != Changed {
				t.Errorf("skipped as %q", why)
			}
		}
	}, "--read-rate=40M")
}

// What is written on another way to the same file, as by another host, shows in no size that this host
// has known for less than a second: it is asked for before the cut.
func TestCopyTruncateAsksForTheSize(t *testing.T) {
	if strings.Contains(os.Getenv(refuse.Variable), "statx") {
		t.Skip("fstat cannot ask")
	}
	for _, quiet := range []bool{true, false} {
		onFUSE(t, func(dir, below string) {
			early, late := numbered(0, 1<<20), numbered(1<<20, 1<<16)
			appendTo(t, dir+"/app.log", early)
			if quiet {
				idle(t, dir+"/app.log")
			}
			got, _, err := rotateAll(t.Context(), dir, RotateOptions{}, nil, func() { appendTo(t, below+"/app.log", late) })
			if kept := all(t, below+"/app.log"); err != nil || kept != early+late {
				t.Errorf("idle %v: %v, %v: %d bytes are left of %d", quiet, got, err, len(kept), len(early)+len(late))
			}
		})
	}
}

// Where a writer may not be seen, a cut to nothing of a log that is being written is said to have lost
// what it may have lost; one that was idle, and one on a disk whose writers are all seen, is not.
func TestCopyTruncateMayHaveLost(t *testing.T) {
	f := func(dir string, quiet bool) (out Rotated) {
		appendTo(t, dir+"/app.log", numbered(0, 1<<16))
		if quiet {
			idle(t, dir+"/app.log")
		}
		out, why := rotateOne(t, dir, RotateOptions{Now: rotatedAt, Oversize: func(int64, int64) bool { return true }})
		if why != Removed {
			t.Errorf("%q", why)
		}
		return out
	}
	onFUSE(t, func(dir, _ string) {
		if !f(dir, false).MayHaveLost {
			t.Error("a cut of a log that other hosts may write to is said to lose nothing")
		}
	})
	onFUSE(t, func(dir, _ string) {
		if f(dir, true).MayHaveLost {
			t.Error("a cut of an idle log is said to lose something")
		}
	})
	if !strings.Contains(os.Getenv(refuse.Variable), "fallocate") && f(tempDir(t), false).MayHaveLost {
		t.Error("a front that was cut off is said to have lost something")
	}
}

// rotateOne rotates app.log of a folder.
func rotateOne(t *testing.T, dir string, o RotateOptions) (out Rotated, why Reason) {
	t.Helper()
	r := NewRotator(o)
	if _, err := dirscan.Scan(t.Context(), dirscan.Options{Dir: dir, Select: func(name []byte) bool { return string(name) == "app.log" }, Visit: func(e *dirscan.Entry) error {
		out, why = r.CopyTruncate(t.Context(), e)
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	return out, why
}
