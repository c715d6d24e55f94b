//go:build attack

package attack

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const stageTemp = "include: ['*.tmp'], max_age: 1m, age_by: mtime, min_age: 1s"

// stageTemps is a target with a temporary folder for each of the lines, which say the rest of its keys.
func stageTemps(policies ...string) string {
	var b strings.Builder
	b.WriteString("  - name: app\n    temp_dirs:\n")
	for i, p := range policies {
		fmt.Fprintf(&b, "      - {name: t%d, %s, %s}\n", i, stageTemp, p)
	}
	return b.String()
}

// victim makes a folder of root with files of root and of the service that no policy means.
func (s *stage) victim(path string) string {
	s.t.Helper()
	s.folder(path, 0)
	s.fill(path, 100, stageService)
	for i := range 50 {
		if err := os.Chown(fmt.Sprintf("%s/f%d.tmp", path, i), 0, 0); err != nil {
			s.t.Fatal(err)
		}
	}
	for i := range 100 {
		s.must(fmt.Sprintf("%s/f%d.tmp", path, i))
	}
	return path
}

// descriptors counts what the exporter has open.
func (s *stage) descriptors() int {
	return stageCount(fmt.Sprintf("/proc/%d/fd", s.exporter.cmd.Process.Pid))
}

// TestAttackFolderForLink: folders that are exchanged for links to files elsewhere while they are cleaned.
func TestAttackFolderForLink(t *testing.T) {
	s := newStage(t)
	victim := s.victim(s.dir + "/victim")
	var policies []string
	for i, more := range []string{"strict: false", "strict: true"} {
		root := s.folder(fmt.Sprintf("%s/root%d", s.dir, i), stageService)
		s.folder(root+"/sub", stageService)
		if err := os.Symlink(victim, root+"/link"); err != nil {
			t.Fatal(err)
		}
		policies = append(policies, "dir: "+root+", "+more)
	}
	s.serve(stageTemps(policies...))
	attackers := []*stageAttacker{
		s.attack(stageService, "exchange", s.dir+"/root0/sub", s.dir+"/root0/link"),
		s.attack(stageService, "exchange", s.dir+"/root1/sub", s.dir+"/root1/link"),
	}
	removed := s.clean("clean_temp")
	for _, a := range attackers {
		a.leave()
	}
	s.cleaned(removed)
	s.report("folder-for-link")
}

// cleaned wants that something was removed: an exporter that does nothing withstands everything.
func (s *stage) cleaned(files int64) {
	s.t.Helper()
	s.t.Logf("%d runs, %d files removed", s.runs, files)
	if files == 0 {
		s.t.Error("nothing was cleaned: the attack has shown nothing")
	}
}

// TestAttackDeepTree: the same far down in a tree that is deeper than what a walk holds open.
func TestAttackDeepTree(t *testing.T) {
	s := newStage(t)
	const depth = 200
	root := s.folder(s.dir+"/root", stageService)
	victim := s.folder(s.dir+"/victim", 0)
	deep := func(dir string, uid int) (half string) {
		for i := range depth {
			if dir += "/d"; i == depth/2 {
				half = dir
			}
			s.folder(dir, uid)
			if err := stageAged(dir+"/f0.tmp", stageService); err != nil {
				t.Fatal(err)
			}
			if uid == 0 {
				s.must(dir + "/f0.tmp")
			}
		}
		return half
	}
	deep(victim, 0)
	half := deep(root, stageService)
	if err := os.Symlink(victim+"/d", half+"-link"); err != nil {
		t.Fatal(err)
	}
	s.serve(stageTemps("dir: " + root))
	before := s.descriptors()
	a := s.attack(stageService, "exchange", half, half+"-link")
	removed := s.clean("clean_temp")
	a.leave()
	if after := s.descriptors(); after > before+10 {
		s.harmed("%d descriptors are open, were %d", after, before)
	}
	s.cleaned(removed)
	s.report("deep-tree")
}

// TestAttackFolderMovedOut: a folder that is moved out of the root while it is cleaned is emptied no further.
func TestAttackFolderMovedOut(t *testing.T) {
	s := newStage(t)
	for _, name := range []string{"plain", "strict", "cache", "outside"} {
		s.folder(s.dir+"/"+name, stageService)
	}
	s.serve(stageTemps("dir: "+s.dir+"/plain", "strict: true, dir: "+s.dir+"/strict") +
		"    caches: [{name: c, dir: " + s.dir + "/cache, include: ['*.tmp'], max_entries: 1, evict_to: 1%, age_by: mtime, min_age: 1s}]\n")
	var attackers []*stageAttacker
	for _, name := range []string{"plain", "strict", "cache"} {
		s.folder(s.dir+"/outside/"+name, stageService)
		attackers = append(attackers, s.attack(stageService, "move out", s.dir+"/"+name, s.dir+"/outside/"+name))
	}
	var removed int64
	for s.lasts() {
		removed += s.run("clean_temp").Files + s.run("evict_cache").Files
	}
	for _, a := range attackers {
		a.leave()
	}
	s.cleaned(removed)
	s.report("folder-moved-out")
}

// TestAttackRootExchanged: whoever owns the folder above a root exchanges the root for a sibling, during runs.
func TestAttackRootExchanged(t *testing.T) {
	s := newStage(t)
	home := s.folder(s.dir+"/home", stageService)
	root := s.folder(home+"/tmp", stageService)
	backup := s.folder(home+"/backup", 0)
	s.victim(backup)
	s.serve(stageTemps("dir: " + root))
	a := s.attack(stageService, "exchange", root, backup)
	refused := 0
	var removed int64
	for s.lasts() {
		r := s.run("clean_temp")
		if removed += r.Files; strings.Contains(r.Detail, "is not the one that was there") {
			refused++
		}
	}
	a.leave()
	t.Logf("%d runs were refused", refused)
	s.cleaned(removed)
	s.report("root-exchanged")
}

// TestAttackOwners: the service takes files of root and of other users into its folder.
func TestAttackOwners(t *testing.T) {
	s := newStage(t)
	home := s.folder(s.dir+"/home", stageService)
	root, shared := s.folder(home+"/tmp", stageService), s.folder(home+"/shared", stageService)
	for i := range 40 {
		path := fmt.Sprintf("%s/theirs%d.tmp", shared, i)
		if err := stageAged(path, []int{0, stageOther}[i%2]); err != nil {
			t.Fatal(err)
		}
		s.must(path)
	}
	s.serve(stageTemps("dir: " + root))
	filler := s.attack(stageService, "fill", "50", root)
	a := s.attack(stageService, "take in", shared, root)
	removed := s.clean("clean_temp")
	filler.leave()
	s.tries = 0
	a.leave()
	s.cleaned(removed)
	s.report("owners")
}

// TestAttackMounts: mounts that appear below the root, and go, while it is cleaned.
func TestAttackMounts(t *testing.T) {
	s := newStage(t)
	root := s.folder(s.dir+"/root", stageService)
	s.folder(root+"/sub", stageService)
	victim := s.victim(s.dir + "/victim")
	s.prefix = []string{"unshare", "--mount", "--propagation=private"}
	a := s.attack(0, "mount", root, victim)
	s.prefix = []string{"nsenter", "--mount", fmt.Sprintf("--target=%d", a.cmd.Process.Pid)}
	s.serve(stageTemps("dir: " + root))
	removed := s.clean("clean_temp")
	a.leave()
	s.cleaned(removed)
	s.report("mounts")
}
