package safefs

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// preallocated makes a log of a size that is only reserved on the disk, with a line at its start.
func preallocated(t *testing.T, path string, size int64) {
	t.Helper()
	appendTo(t, path, "a line\n")
	f := keepOpen(t, path, os.O_WRONLY)
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
		t.Skipf("no blocks in advance here: %v", err)
	}
	if data, err := unix.Seek(int(f.Fd()), 1<<20, unix.SEEK_DATA); err == nil {
		t.Skipf("reserved blocks count as data here, at %d", data)
	}
	idle(t, path)
}

// TestReservedBlocksAreNoData: a log whose blocks are only reserved has nothing to compress in them.
func TestReservedBlocksAreNoData(t *testing.T) {
	for _, what := range []string{"copy", "compress"} {
		t.Run(what, func(t *testing.T) {
			dir := tempDir(t)
			path := dir + "/app.log"
			if what == "compress" {
				path += stamp
			}
			preallocated(t, path, 128<<20)
			if what == "compress" {
				if got := compressAll(t, dir, false); got["app.log"+stamp] != Sparse || len(names(t, dir)) != 1 {
					t.Errorf("%v, files %v", got, names(t, dir))
				}
				return
			}
			got, _, err := rotateAll(t.Context(), dir, RotateOptions{Compress: true}, nil, nil)
			if err != nil || got["app.log"] != Removed {
				t.Fatalf("%v, %v", got, err)
			}
			var st unix.Stat_t
			if err := unix.Stat(path+stamp, &st); err != nil || st.Blocks*512 > 1<<20 {
				t.Errorf("the copy takes %d bytes, %v; files %v", st.Blocks*512, err, names(t, dir))
			}
		})
	}
}

// TestTwoKindsOfWriters: app >>log 2>log. The writer that does not append goes on at its old place after a
// cut. Where it can be seen nothing is cut; where it cannot, the hole that it leaves gives it away.
func TestTwoKindsOfWriters(t *testing.T) {
	const line = "a line of the log\n"
	for _, seen := range []bool{true, false} {
		t.Run(fmt.Sprintf("seen %v", seen), func(t *testing.T) {
			dir := tempDir(t)
			path := dir + "/app.log"
			if !seen && os.Geteuid() != 0 {
				t.Skip("needs root to give a log to another user")
			}
			appending := keepOpen(t, path, os.O_WRONLY|os.O_APPEND|os.O_CREATE)
			other := keepOpen(t, path, os.O_WRONLY)
			write := func() {
				t.Helper()
				for _, f := range []*os.File{appending, other} {
					if _, err := f.WriteString(strings.Repeat(line, 50_000)); err != nil {
						t.Fatal(err)
					}
				}
				idle(t, path)
			}
			o := RotateOptions{}
			if !seen {
				proc := tempDir(t) // of another PID namespace
				remover := NewRemover(Options{Dir: dir, Now: time.Now(), Open: NewOpenFiles(proc)})
				t.Cleanup(remover.Close)
				o.Remover, o.ProcRoot = remover, proc
				os.MkdirAll(proc+"/2/fd", 0o755)
				os.Chown(dir, 65534, 65534)
				os.Chown(path, 65534, 65534)
			}
			var last int64
			for round := range 4 {
				write()
				o.Now = rotatedAt.Add(time.Duration(round) * time.Minute)
				got, _, err := rotateAll(t.Context(), dir, o, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				if refused := got["app.log"] == NotAppending; refused != (seen || round > 1) { // until then there is no hole
					t.Errorf("round %d: %v", round, got)
				}
			}
			for _, made := range glob(t, path+".*") {
				info, err := os.Stat(made)
				if err != nil || seen {
					t.Fatalf("%s: %v", made, err)
				}
				if last > 0 && info.Size() > last+int64(len(line)*100_000) {
					t.Errorf("%s has %d bytes after one of %d", made, info.Size(), last)
				}
				last = info.Size()
			}
		})
	}
}
