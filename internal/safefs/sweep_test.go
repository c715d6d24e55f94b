package safefs

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// descriptorsOf returns how many descriptors of this process are the folder.
func descriptorsOf(t *testing.T, dir string) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && to == dir {
			n++
		}
	}
	return n
}

// makeHolding makes the holding folder of a root, as a strict run does.
func makeHolding(t *testing.T, root string) {
	t.Helper()
	r := NewRemover(Options{Dir: root, Now: time.Now()})
	defer r.Close()
	fd, err := r.openHolding()
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
}

// holdIn puts an old file into the holding folder of root as a strict run that was killed left it.
func holdIn(t *testing.T, root, name string) (held string) {
	t.Helper()
	private := filepath.Join(root, policy.HoldingName)
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	makeHolding(t, root)
	aged(t, private+"/"+name)
	var st unix.Stat_t
	if err := unix.Stat(private+"/"+name, &st); err != nil {
		t.Fatal(err)
	}
	id := Identity{Ino: st.Ino, SizeBytes: st.Size, MtimeNs: st.Mtim.Nano()}
	held = private + "/" + id.holdingPrefix() + name
	if err := os.Rename(private+"/"+name, held); err != nil {
		t.Fatal(err)
	}
	return held
}

// TestSweepIntoQuarantine: what Sweep opens belongs to the run: the quarantine is opened once, is the
// one that was compared with Roots, and is closed with the Remover. What is moved there frees nothing.
func TestSweepIntoQuarantine(t *testing.T) {
	top := tempDir(t)
	root, quarantine := top+"/up", top+"/q"
	if err := os.Mkdir(quarantine, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		held := holdIn(t, root, fmt.Sprint("1-", i))
		r := NewRemover(Options{Dir: root, Strict: true, Quarantine: quarantine, Now: time.Now()})
		n, freed, err := r.Sweep(t.Context())
		if n != 1 || freed != 0 || err != nil || exists(held) {
			t.Errorf("swept %d, freed %d, %v; want one, moved into the quarantine", n, freed, err)
		}
		if !r.opts.Strict {
			t.Error("the run is no longer strict after Sweep")
		}
		if open := descriptorsOf(t, quarantine); open != 1 {
			t.Errorf("during run %d the quarantine is open %d times, want once", i, open)
		}
		r.Close()
		if open := descriptorsOf(t, quarantine); open != 0 {
			t.Errorf("after run %d the quarantine is open %d times, want none", i, open)
		}
	}
	if got := quarantined(t, quarantine); len(got) != 3 {
		t.Errorf("in the quarantine: %q, want 3", got)
	}
}

// TestProbeIntoQuarantine: the look at a rotated log before it is compressed opens nothing that the
// run does not close.
func TestProbeIntoQuarantine(t *testing.T) {
	top := tempDir(t)
	root, quarantine := top+"/logs", top+"/q"
	if err := os.Mkdir(quarantine, 0o700); err != nil {
		t.Fatal(err)
	}
	aged(t, root+"/app.log.20240102T030405Z")
	r := NewRemover(Options{Dir: root, Quarantine: quarantine, Now: time.Now()})
	var found []Found
	if _, err := r.Scan(t.Context(), dirscan.Options{Visit: func(e *dirscan.Entry) error {
		found = append(found, r.Find(e))
		return nil
	}}); err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	rotator := NewRotator(RotateOptions{DryRun: true, Compress: true, Now: time.Now(), Remover: r})
	for range 3 {
		if _, why := rotator.Compress(t.Context(), found[0]); why != Removed {
			t.Fatalf("%q, want that it would be compressed", why)
		}
	}
	r.Close()
	if open := descriptorsOf(t, quarantine); open != 0 {
		t.Errorf("after the run the quarantine is open %d times, want none", open)
	}
}
