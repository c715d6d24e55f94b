package safefs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// at returns a Pulse that calls f once, the nth time, and reports whether it did.
func at(n int, f func()) (pulse func() error, came func() bool) {
	var i atomic.Int64
	return func() error {
		if i.Add(1) == int64(n) {
			f()
		}
		return nil
	}, func() bool { return i.Load() >= int64(n) }
}

// wherever returns where the tree "job" of a root is at the moment, or "".
func wherever(root string) string {
	if exists(root + "/job") {
		return root + "/job"
	}
	for _, pattern := range []string{movedPrefix, goingPrefix} {
		if found, _ := filepath.Glob(filepath.Join(root, policy.HoldingName, pattern+"*")); len(found) > 0 {
			return found[0]
		}
	}
	return ""
}

// TestTreeUnderAttack does one thing to a tree at each step of its removal. Whatever that is and whenever
// it happens, nothing goes that was not looked at, nothing outside of the tree, and before the tree is
// on its way out all of it is kept.
func TestTreeUnderAttack(t *testing.T) {
	open := NewOpenFiles("") // nothing is open here: it need not be looked at for each step
	attacks := map[string]func(root, outside, tree string) (keeps string, err error){
		"a folder for a link": func(_, outside, tree string) (string, error) {
			return outside + "/precious", errors.Join(os.Rename(tree+"/part1", outside+"/taken"), os.Symlink(outside, tree+"/part1"))
		},
		"a file appears": func(_, _, tree string) (string, error) {
			return "new", os.WriteFile(tree+"/part2/deep/new", []byte("new"), 0o644)
		},
		"a file appears at the top": func(_, _, tree string) (string, error) {
			return "new", os.WriteFile(tree+"/new", []byte("new"), 0o644)
		},
		"an old file is moved in": func(root, _, tree string) (string, error) {
			aged(nil2{}, root+"/new")
			return "new", os.Rename(root+"/new", tree+"/part1/deep/new")
		},
		"a file is exchanged": func(_, _, tree string) (string, error) {
			if err := os.WriteFile(tree+"/part1/new", []byte("new"), 0o644); err != nil {
				return "", err
			}
			return "f2", os.Rename(tree+"/part1/new", tree+"/part1/deep/f2")
		},
		"a folder is moved out": func(_, outside, tree string) (string, error) {
			return outside + "/taken/deep/f1", os.Rename(tree+"/part1", outside+"/taken")
		},
		"the tree is moved out": func(_, outside, tree string) (string, error) {
			return outside + "/taken/part1/deep/f1", os.Rename(tree, outside+"/taken")
		},
		"the tree is exchanged": func(root, outside, tree string) (string, error) {
			if err := os.Rename(tree, outside+"/taken"); err != nil {
				return "", err
			}
			return "mine", errors.Join(os.Mkdir(tree, 0o755), os.WriteFile(tree+"/mine", nil, 0o644))
		},
		"the name is taken": func(root, _, _ string) (string, error) {
			if exists(root + "/job") {
				return "", nil
			}
			return "mine", errors.Join(os.Mkdir(root+"/job", 0o755), os.WriteFile(root+"/job/mine", nil, 0o644))
		},
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			for _, big := range []bool{false, true} {
				step := 1
				if big {
					step = 3
				}
				for n := 1; attackAt(t, open, big, n, attack); n += step {
				}
			}
		})
	}
}

// nil2 lets aged be called where there is no test at hand.
type nil2 struct{ testing.TB }

func (nil2) Helper() {}

// attackAt attacks at the nth step, and reports whether there was one. What is exchanged in the very folder that the other worker of
// a big tree empties at that moment may go (docs/safety.md): then the step is done once more.
func attackAt(t *testing.T, open *OpenFiles, big bool, n int, attack func(root, outside, tree string) (string, error)) bool {
	t.Helper()
	for again := 5; ; again-- {
		switch came, lost := attackOnce(t, open, big, n, attack); {
		case lost == "":
			return came
		case !big || again == 0 || !strings.Contains(lost, goingPrefix):
			t.Error(lost)
			return came
		}
	}
}

// attackOnce returns in addition what was exchanged and is gone.
func attackOnce(t *testing.T, open *OpenFiles, big bool, n int, attack func(root, outside, tree string) (string, error)) (came bool, lost string) {
	t.Helper()
	base := tempDir(t)
	root, outside := base+"/root", base+"/outside"
	makeJob(t, root, "job")
	for _, name := range []string{"precious", "deep/f0", "deep/f1", "f"} {
		aged(t, outside+"/"+name)
	}
	tree := treeAt(t, root, "job")
	keeps, place, out := "", "", int64(4)
	pulse, reached := at(n, func() {
		place = wherever(root)
		if place == "" {
			return
		}
		var err error
		if keeps, err = attack(root, outside, place); err != nil { // what it is about has gone
			keeps = ""
		}
		out = filesIn(outside)
	})
	r := treeRemover(root, func(o *Options) { o.Pulse, o.Open = pulse, open })
	if big { // two workers, and what is known of a folder is known of its files
		r.big, r.small = 1, 0
	}
	_, _, why := r.RemoveTree(tree)
	r.Close()
	for _, name := range []string{"precious", "deep/f0", "deep/f1", "f"} {
		if !exists(outside + "/" + name) {
			t.Errorf("step %d (%s): %s outside of the tree is gone", n, place, name)
		}
	}
	if is := filesIn(outside); is < out && !big { // the other worker is in the middle of one

		t.Errorf("step %d (%s): %d files are left of %d that were outside of the tree by then", n, place, is, out)
	}
	switch {
	case keeps == "":
	case filepath.IsAbs(keeps):
		if !exists(keeps) && !strings.Contains(place, goingPrefix) {
			t.Errorf("step %d (%s): %s is gone, reason %q", n, place, keeps, why)
		}
	case keeps == "f2": // has the content of the other one
		if found := findIn(base, keeps, "new"); !found {
			lost = fmt.Sprintf("step %d (%s): the new f2 is gone, reason %q", n, place, why)
		}
	case !findIn(base, keeps, ""):
		t.Errorf("step %d (%s): %s is gone, reason %q", n, place, keeps, why)
	}
	return reached(), lost
}

// filesIn counts the files below a folder that others may change meanwhile.
func filesIn(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return nil
	})
	return n
}

// findIn reports whether a file of this name, with this content where it is given, is anywhere below a folder.
func findIn(dir, name, content string) (found bool) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == name && d.Type().IsRegular() {
			b, _ := os.ReadFile(path)
			found = found || content == "" || string(b) == content
		}
		return nil
	})
	return found
}

// TestTreeMounts: a mount that is in a tree, or appears in it at any step, keeps all that is behind it.
func TestTreeMounts(t *testing.T) {
	withMounts(t, func() {
		base := tempDir(t)
		precious := base + "/precious"
		aged(t, precious+"/f1")
		age(t, precious)
		for _, what := range []string{"part1", "part1/deep/f1"} {
			for n, again := 0, true; again; n++ {
				root := fmt.Sprintf("%s/%s-%d", base, filepath.Base(what), n)
				makeJob(t, root, "job")
				tree := treeAt(t, root, "job")
				mounted := ""
				mount := func() {
					target := filepath.Join(wherever(root), what)
					source := precious
					if strings.HasSuffix(what, "f1") {
						source += "/f1"
					}
					if unix.Mount(source, target, "", unix.MS_BIND, "") == nil {
						mounted = target
					}
				}
				pulse, came := at(n, mount)
				if n == 0 {
					mount()
				}
				r := treeRemover(root, func(o *Options) { o.Pulse = pulse })
				_, _, why := r.RemoveTree(tree)
				r.Close()
				if !exists(precious + "/f1") {
					t.Errorf("%s mounted at step %d: what is behind it is gone", what, n)
				}
				if mounted != "" && why == Removed {
					t.Errorf("%s mounted at step %d: removed", what, n)
				}
				if n == 0 && why != Mount {
					t.Errorf("%s mounted before: %q, want %q", what, why, Mount)
				}
				if at := wherever(root); at != "" {
					_ = unix.Unmount(filepath.Join(at, what), unix.MNT_DETACH)
				}
				again = n == 0 || came()
			}
		}
	})
}

// TestTreeOnOverlay: an overlay does not move folders of its lower layers: the tree is removed in its place.
func TestTreeOnOverlay(t *testing.T) {
	top := tempDir(t)
	withMounts(t, func() {
		if err := unix.Mount("none", top, "tmpfs", 0, ""); err != nil {
			t.Errorf("mount: %v", err)
			return
		}
		dir := top + "/merged"
		for _, sub := range []string{"/upper", "/work", "/merged"} {
			os.Mkdir(top+sub, 0o755)
		}
		makeJob(t, top+"/lower", "job")
		makeJob(t, top+"/lower", "held")
		if err := unix.Mount("overlay", dir, "overlay", 0, fmt.Sprintf("lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", top, top, top)); err != nil {
			t.Logf("no overlay here: %v", err)
			return
		}
		holdElsewhere("map")(t, dir+"/held/part1/deep/f1")
		r := treeRemover(dir, nil)
		defer r.Close()
		if _, files, why := r.RemoveTree(treeAt(t, dir, "job")); why != Removed || files != 13 || exists(dir+"/job") {
			t.Errorf("%d files went, %q; want all", files, why)
		}
		if _, _, why := r.RemoveTree(treeAt(t, dir, "held")); why != InUse || treeAt(t, dir, "held").Files != 13 {
			t.Errorf("of a tree that is in use: %q, want all kept", why)
		}
	})
}

// removeUntil removes the tree "job" of a root and waits at a step, to be killed there. The root ends with
// the number of the step.
func removeUntil(path string) error {
	root, step, _ := strings.Cut(path, "#")
	n, err := strconv.Atoi(step)
	if err != nil {
		return err
	}
	tree, err := jobOf(root)
	if err != nil {
		return err
	}
	pulse, _ := at(n, func() {
		fmt.Println("waits")
		_, _ = io.Copy(io.Discard, os.Stdin)
	})
	r := treeRemover(root, func(o *Options) { o.Pulse = pulse })
	defer r.Close()
	_, _, why := r.RemoveTree(tree)
	fmt.Printf("done %s\n", why)
	return nil
}

// jobOf is treeAt of a tree of makeJob, for a process without a test.
func jobOf(root string) (Tree, error) {
	var st unix.Stat_t
	err := unix.Stat(root+"/job", &st)
	return Tree{Path: "job", Dev: st.Dev, Ino: st.Ino, NewestNs: time.Now().UnixNano(), Files: 13, Bytes: 13 * 7}, err
}

// TestKilledTreeRun kills the removal of a tree at each of its steps. The tree is whole, or on its way, and the
// next start finishes it; one that has changed meanwhile is kept and reported.
func TestKilledTreeRun(t *testing.T) {
	phases := make(map[string]int)
	for n, done := 1, false; !done; n++ {
		for _, changed := range []bool{false, true} {
			root := tempDir(t)
			makeJob(t, root, "job")
			cmd, out := start(t, "remove tree", fmt.Sprintf("%s#%d", root, n))
			line, err := out.ReadString('\n')
			if err != nil {
				t.Fatal(line, err)
			}
			if done = line != "waits\n"; done {
				if line != "done \n" {
					t.Errorf("a run that was not killed: %q", line)
				}
				break
			}
			cmd.Process.Kill()
			cmd.Wait()
			at := wherever(root)
			phase, _, _ := strings.Cut(filepath.Base(at), "-")
			phases[phase]++
			if changed && os.WriteFile(at+"/new", []byte("new"), 0o644) != nil {
				t.Fatalf("step %d: there is no tree to change", n)
			}
			r := treeRemover(root, nil)
			if _, _, err := r.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			left, err := r.Leftovers()
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case phase == "job":
				if treeAt(t, root, "job").Files < 13 || left != 0 {
					t.Errorf("step %d: killed before the move, and the tree is not whole, or %d are left", n, left)
				}
			case changed && (left != 1 || !exists(at+"/new")):
				t.Errorf("step %d (%s): the tree has changed, and %d are left", n, phase, left)
			case !changed && left != 0:
				t.Errorf("step %d (%s): the next start has left %d", n, phase, left)
			}
			r.Close()
		}
	}
	t.Logf("killed in the phases %v", phases)
	if phases["job"] == 0 || phases["moved"] == 0 || phases["going"] == 0 {
		t.Error("want kills in each phase")
	}
}

// TestTreeExchangedAtTheMove: what was moved in place of the tree goes back.
func TestTreeExchangedAtTheMove(t *testing.T) {
	root := tempDir(t)
	top := makeJob(t, root, "job")
	r := treeRemover(root, nil)
	defer r.Close()
	j, why := r.openTree(treeAt(t, root, "job"))
	if why != Removed {
		t.Fatal(why)
	}
	defer j.close()
	aged(t, root+"/mine/f")
	if err := errors.Join(os.Rename(top, root+"/taken"), os.Rename(root+"/mine", top)); err != nil {
		t.Fatal(err)
	}
	j.seen = &treeLook{whole: true}
	if _, _, why := r.removeSeen(j); why != Changed || !exists(top+"/f") || treeAt(t, root, "taken").Files != 13 {
		t.Errorf("%q, want %q and both kept", why, Changed)
	}
}
