package safefs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// findAll finds all files below the root of a Remover.
func findAll(t *testing.T, r *Remover) (found []Found) {
	t.Helper()
	if _, err := r.Scan(t.Context(), dirscan.Options{Recursive: true, Visit: func(e *dirscan.Entry) error {
		found = append(found, r.Find(e))
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	return found
}

var triple = []string{"a/video.jpg", "a/video.json", "video.mp4"}

func makeTriple(t *testing.T) (root string) {
	t.Helper()
	root = tempDir(t)
	for _, name := range triple {
		aged(t, root+"/"+name)
	}
	return root
}

// allOrNone wants all of the three files, or none, and nothing in the holding folder.
func allOrNone(t *testing.T, root string, want bool) {
	t.Helper()
	for _, name := range triple {
		if exists(root+"/"+name) != want {
			t.Errorf("%s exists: %v, want %v", name, !want, want)
		}
	}
	if left := heldIn(t, root); len(left) > 0 {
		t.Errorf("left %q in the holding folder", left)
	}
}

func TestRemoveTogether(t *testing.T) {
	root := makeTriple(t)
	for _, dry := range []bool{true, false} {
		r := treeRemover(root, func(o *Options) { o.DryRun = dry })
		if freed, why := r.RemoveTogether(findAll(t, r)); freed != 3*4096 || why != Removed {
			t.Errorf("dry run %v: freed %d, %q; want three blocks", dry, freed, why)
		}
		r.Close()
		allOrNone(t, root, dry)
	}
}

// TestTogetherOrNot: one member that must stay keeps the others.
func TestTogetherOrNot(t *testing.T) {
	for _, name := range triple {
		for _, dry := range []bool{true, false} {
			root := makeTriple(t)
			holdElsewhere("read")(t, root+"/"+name)
			r := treeRemover(root, func(o *Options) { o.DryRun = dry })
			if freed, why := r.RemoveTogether(findAll(t, r)); freed != 0 || why != InUse {
				t.Errorf("%s in use, dry run %v: freed %d, %q; want %q", name, dry, freed, why, InUse)
			}
			r.Close()
			allOrNone(t, root, true)
		}
	}
}

// TestTogetherUnderAttack changes or opens a member at each step: all stay where they were, or all were removed
// before.
func TestTogetherUnderAttack(t *testing.T) {
	for n, again := 1, true; again; n++ {
		for i, name := range triple {
			root := makeTriple(t)
			var held *os.File
			pulse, came := at(n, func() {
				path := root + "/" + name
				if !exists(path) { // it is in the holding folder
					if in := heldIn(t, root); i < len(in) {
						path = filepath.Join(root, policy.HoldingName) + "/" + slices.Sorted(slices.Values(in))[i]
					}
				}
				held, _ = os.Open(path)
			})
			r := treeRemover(root, func(o *Options) { o.Pulse = pulse })
			_, why := r.RemoveTogether(findAll(t, r))
			r.Close()
			allOrNone(t, root, why != Removed)
			if held != nil {
				held.Close()
			}
			again = came()
		}
	}
}

// TestTogetherStopped: a stop in between, or a name that is taken, loses nothing.
func TestTogetherStopped(t *testing.T) {
	stop := errors.New("stop")
	for n := 1; n <= 6; n++ {
		root := makeTriple(t)
		i := 0
		r := treeRemover(root, func(o *Options) {
			o.Pulse = func() error {
				if i++; i == n {
					return stop
				}
				return nil
			}
		})
		if _, why := r.RemoveTogether(findAll(t, r)); why != Stopped {
			t.Errorf("stopped at step %d: %q", n, why)
		}
		r.Close()
		allOrNone(t, root, true)
	}
	root := makeTriple(t)
	i := 0
	r := treeRemover(root, func(o *Options) {
		o.Pulse = func() error {
			if i++; i < 4 {
				return nil
			}
			return errors.Join(stop, os.WriteFile(root+"/video.mp4", []byte("new"), 0o644))
		}
	})
	defer r.Close()
	if _, why := r.RemoveTogether(findAll(t, r)); why != "error_EEXIST" || len(heldIn(t, root)) != 1 || content(t, root+"/video.mp4") != "new" {
		t.Errorf("a name that is taken: %q, %q are held; want the old file held and the new one kept", why, heldIn(t, root))
	}
}
