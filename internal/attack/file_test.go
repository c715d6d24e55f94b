//go:build attack

package attack

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// anywhere wants that each of the files is still somewhere below the folders, under whatever name.
func (s *stage) anywhere(files map[string]stageEntry, dirs ...string) {
	s.t.Helper()
	have := map[uint64]bool{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				have[info.Sys().(*syscall.Stat_t).Ino] = true
			}
			return err
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	for path, e := range files {
		if !have[e.ino] {
			s.harmed("what was %s is nowhere", path)
		}
	}
}

// treasure makes n files p0.keep and so on in a folder, and as many that are due.
func (s *stage) treasure(n int, dir string) map[string]stageEntry {
	s.t.Helper()
	out := map[string]stageEntry{}
	far := time.Now().Add(24 * time.Hour) // never due, and it stays so
	for i := range n {
		path := fmt.Sprintf("%s/p%d.keep", dir, i)
		s.write(path, "precious", stageService)
		e, err := stageLook(path)
		if err == nil {
			err = os.Chtimes(path, far, far)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		out[path] = e
	}
	s.fill(dir, n, stageService)
	return out
}

// TestAttackExchangedAtTheLastLook: with strict a name that is exchanged between the look and the removal costs no
// file that is not due.
func TestAttackExchangedAtTheLastLook(t *testing.T) {
	s := newStage(t)
	const n = 40
	root := s.folder(s.dir+"/root", stageService)
	precious := s.treasure(n, root)
	s.serve(stageTemps("strict: true, dir: " + root))
	a := s.attack(stageService, "last look", root, fmt.Sprint(n))
	removed := s.clean("clean_temp")
	a.leave()
	s.cleaned(removed)
	s.anywhere(precious, root)
	s.report("exchanged-at-the-last-look")
}

// TestAttackOpenedAtTheLastMoment: a file that a process has open keeps its name.
func TestAttackOpenedAtTheLastMoment(t *testing.T) {
	s := newStage(t)
	var policies []string
	var attackers []*stageAttacker
	for i, more := range []string{"", "strict: true, "} {
		root := s.folder(fmt.Sprintf("%s/root%d", s.dir, i), stageService)
		policies = append(policies, more+"dir: "+root)
		attackers = append(attackers, s.attack(stageService, "open", root))
	}
	s.serve(stageTemps(policies...))
	removed := s.clean("clean_temp")
	for _, a := range attackers {
		a.leave()
	}
	s.cleaned(removed)
	s.report("opened-at-the-last-moment")
}

// TestAttackOddEntries: entries of every kind with names of any bytes. What is not an aged regular file stays, and
// no name makes a line of its own in what a command prints.
func TestAttackOddEntries(t *testing.T) {
	s := newStage(t)
	root := s.folder(s.dir+"/root", stageService)
	s.serve(stageTemps("dir: " + root))
	a := s.attack(stageService, "odd", root)
	removed := s.clean("clean_temp")
	s.exporter.stop()
	stageAged(root+"/x\nforged: a line.tmp", stageService)
	for _, args := range [][]string{{"check"}, {"cleanup", "--dry-run", "--files"}, {"cleanup", "--enforce", "--files"}} {
		p := s.start(nil, append([]string{stageBinary(t)}, append(args, "--config.file="+s.config)...)...)
		<-p.done
		if strings.Contains(p.out.String(), "\nforged: ") {
			s.harmed("%s prints a line that a file name has: %s", args, p.out.String())
		}
	}
	if strings.Contains(s.exporter.out.String(), "\nforged: ") {
		s.harmed("a file name makes a line of the log")
	}
	a.leave()
	s.cleaned(removed)
	s.report("odd-entries")
}

// TestAttackHeldFiles: what is removed and still held, as by a descriptor with O_PATH, has freed nothing.
func TestAttackHeldFiles(t *testing.T) {
	s := newStage(t)
	root := s.folder(s.dir+"/root", stageService)
	s.serve(stageTemps("dir: " + root))
	a := s.attack(stageService, "hold", root)
	var removed int64
	for s.lasts() {
		r := s.run("clean_temp")
		if removed += r.Files; r.FreedBytes > 0 {
			s.harmed("%d files are reported as %d bytes freed, and all of them are held", r.Files, r.FreedBytes)
		}
	}
	a.leave()
	s.cleaned(removed)
	s.report("held-files")
}

// TestAttackUploads: uploads that are exchanged for files that must stay while they go into the quarantine.
func TestAttackUploads(t *testing.T) {
	s := newStage(t)
	const n = 40
	root, quarantine := s.folder(s.dir+"/up", stageService), s.folder(s.dir+"/quarantine", 0)
	victim := s.victim(s.dir + "/victim")
	if err := os.Chmod(quarantine, 0o700); err != nil {
		t.Fatal(err)
	}
	precious := s.treasure(n, root)
	s.folder(root+"/sub", stageService)
	if err := os.Symlink(victim, root+"/link"); err != nil {
		t.Fatal(err)
	}
	s.serve("  - name: app\n    uploads: [{name: u, include: ['*.tmp'], max_age: 1m, age_by: mtime, min_age: 1s, quarantine: " + quarantine + ", dir: " + root + "}]\n")
	attackers := []*stageAttacker{
		s.attack(stageService, "last look", root, fmt.Sprint(n)),
		s.attack(stageService, "exchange", root+"/sub", root+"/link"),
	}
	moved := s.clean("enforce_uploads")
	for _, a := range attackers {
		a.leave()
	}
	s.cleaned(moved)
	s.anywhere(precious, root, quarantine)
	s.report("uploads")
}

// TestAttackHoldingName: what others call .spillway-quarantine hides nothing, and a link of that name leads nowhere.
func TestAttackHoldingName(t *testing.T) {
	s := newStage(t)
	victim := s.victim(s.dir + "/victim")
	for i := range 20 { // as a strict run names what it has moved aside
		path := fmt.Sprintf("%s/left%d", victim, i)
		if err := stageAged(path, 0); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		as := fmt.Sprintf("%s/%d-%d-%d-1-%d", victim, st.Ino, st.Size, st.Mtim.Nano(), i)
		if err := os.Rename(path, as); err != nil {
			t.Fatal(err)
		}
		s.must(as)
	}
	plain, strict := s.folder(s.dir+"/plain", stageService), s.folder(s.dir+"/strict", stageService)
	if err := os.Symlink(victim, strict+"/.spillway-quarantine"); err != nil {
		t.Fatal(err)
	}
	s.serve(stageTemps("dir: "+plain, "strict: true, dir: "+strict))
	a := s.attack(stageService, "holding", plain, victim, "3s")
	filler := s.attack(stageService, "fill", "20", strict)
	removed := s.clean("clean_temp")
	filler.leave()
	a.leave()
	s.cleaned(removed)
	s.report("holding-name")
}
