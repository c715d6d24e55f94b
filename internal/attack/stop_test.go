//go:build attack

package attack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAttackStoppedRotation: a rotation that is ended by a signal at any moment is not reported as done.
func TestAttackStoppedRotation(t *testing.T) {
	s := newStage(t)
	const size = 96 << 20
	dir := s.folder(s.dir+"/logs", stageService)
	s.configure("  - name: app\n    logs: [{name: l, include: ['*.log'], max_bytes: 1MiB, keep_files: 1, dir: " + dir + "}]\n")
	text := []byte(strings.Repeat("a line of a log that is long enough\n", size/36))
	cut := 0
	for s.lasts() {
		log := dir + "/app.log"
		if err := os.WriteFile(log, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(log, stageService, stageService); err != nil {
			t.Fatal(err)
		}
		p := s.start(nil, stageBinary(t), "cleanup", "--enforce", "--json", "--config.file="+s.config)
		// It is in the middle of the copy once there is one.
		s.await(20*time.Second, "the copy has begun", func() error {
			if stageCount(dir) < 2 && !p.ended() {
				return errors.New("there is the log alone")
			}
			return nil
		})
		stagePause(60 * time.Millisecond)
		p.cmd.Process.Signal(syscall.SIGTERM)
		<-p.done
		s.tried(1)
		info, err := os.Stat(log)
		if err != nil {
			t.Fatal(err)
		}
		whole := info.Size() >= int64(len(text))
		if whole {
			cut++
		}
		if whole && (p.cmd.ProcessState.ExitCode() == 0 || strings.Contains(p.out.String(), `"outcome":"done"`)) {
			s.harmed("the log is whole, and the command reports it as done (%s): %s", p.cmd.ProcessState, p.out.String())
		}
		s.stageRotated(dir)
	}
	if t.Logf("%d of %d were stopped before the cut", cut, s.tries); cut == 0 {
		t.Error("none was stopped in its middle: the attack has shown nothing")
	}
	s.report("stopped-rotation")
}

// TestAttackPipes: a pipe in the place of the configuration or of the token file keeps no command and no reload
// waiting.
func TestAttackPipes(t *testing.T) {
	s := newStage(t)
	s.serve(stageTemps("dir: " + s.folder(s.dir+"/root", stageService)))
	for _, name := range []string{"pipe.yml", "pipe.token"} {
		if err := unix.Mkfifo(s.dir+"/"+name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(s.dir+"/pipe.token", os.O_RDWR, 0) // it has a writer that says nothing; the other has none
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	raw, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.ReplaceAll(string(raw), s.dir+"/token", s.dir+"/pipe.token")
	s.write(s.dir+"/bad.yml", bad, 0)
	const most = 2 * time.Second
	for s.lasts() {
		for _, file := range []string{"pipe.yml", "bad.yml"} {
			ctx, cancel := context.WithTimeout(t.Context(), most)
			p := s.start(nil, stageBinary(t), "check", "--config.file="+s.dir+"/"+file)
			select {
			case <-p.done:
				if p.cmd.ProcessState.ExitCode() == 0 {
					s.harmed("%s is accepted: %s", file, p.out.String())
				}
			case <-ctx.Done():
				s.harmed("check waits for %s", file)
				p.kill()
			}
			cancel()
			s.tried(1)
		}
		s.pipeReload(most)
	}
	s.report("pipes")
}

// pipeReload reloads while the configuration is a pipe.
func (s *stage) pipeReload(most time.Duration) {
	s.t.Helper()
	if err := stageSwap(s.config, s.dir+"/pipe.yml"); err != nil {
		s.t.Fatal(err)
	}
	begin := time.Now()
	if _, err := s.ask(http.MethodPost, "/-/reload", ""); err == nil {
		s.harmed("a pipe is loaded")
	}
	if took := time.Since(begin); took > most {
		s.harmed("a reload took %s", took)
	}
	if err := stageSwap(s.config, s.dir+"/pipe.yml"); err != nil {
		s.t.Fatal(err)
	}
	s.tried(1)
}

// isAsJudged reports whether a file in the holding folder still is what its name says. A writer whose open the
// run held up, and who goes on when the run is killed, writes to it there: it stays for a person to look at.
func isAsJudged(path string) bool {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return false
	}
	return strings.HasPrefix(filepath.Base(path), fmt.Sprintf("%d-%d-%d-", st.Ino, st.Size, st.Mtim.Nano()))
}

// TestAttackKilled: the exporter is killed at any moment of its runs. What goes was due, it starts again, and the next
// run finishes what a strict one had moved aside.
func TestAttackKilled(t *testing.T) {
	s := newStage(t)
	var policies []string
	for i := range 2 {
		root := s.folder(fmt.Sprintf("%s/root%d", s.dir, i), stageService)
		s.fill(root, 1, stageService)
		for j := range 50 {
			young := fmt.Sprintf("%s/young%d.tmp", root, j)
			s.write(young, "young", stageService)
			far := time.Now().Add(24 * time.Hour)
			if err := os.Chtimes(young, far, far); err != nil {
				t.Fatal(err)
			}
			other := fmt.Sprintf("%s/other%d.txt", root, j)
			if err := stageAged(other, stageService); err != nil {
				t.Fatal(err)
			}
			s.must(young, other)
		}
		policies = append(policies, "strict: true, dir: "+root)
	}
	s.serve(stageTemps(policies...))
	filler := s.attack(stageService, "fill", "400", s.dir+"/root0", s.dir+"/root1")
	var removed int64
	for s.lasts() {
		s.begin("clean_temp")
		stagePause(30 * time.Millisecond)
		s.exporter.kill()
		s.tried(1)
		s.restart()
		removed += s.run("clean_temp").Files
		left, err := filepath.Glob(s.dir + "/root?/.spillway-quarantine/[0-9]*")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range left {
			if isAsJudged(path) {
				s.harmed("%s is left aside after the next run", path)
			}
		}
	}
	tries := s.tries
	filler.leave()
	s.tries = tries
	s.cleaned(removed)
	s.report("killed")
}

// TestAttackTwoCleaners: another exporter, with a journal of its own, cleans the same folders at the same time.
func TestAttackTwoCleaners(t *testing.T) {
	s := newStage(t)
	var policies []string
	for i, more := range []string{"", "strict: true, "} {
		root := s.folder(fmt.Sprintf("%s/root%d", s.dir, i), stageService)
		s.write(root+"/young.tmp", "young", stageService)
		far := time.Now().Add(24 * time.Hour)
		if err := os.Chtimes(root+"/young.tmp", far, far); err != nil {
			t.Fatal(err)
		}
		s.must(root + "/young.tmp")
		policies = append(policies, more+"dir: "+root)
	}
	s.serve(stageTemps(policies...))
	raw, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	second := s.dir + "/second.yml"
	s.write(second, strings.ReplaceAll(string(raw), s.dir+"/journal", s.dir+"/journal2"), 0)
	filler := s.attack(stageService, "fill", "300", s.dir+"/root0", s.dir+"/root1")
	var removed int64
	for s.lasts() {
		p := s.start(nil, stageBinary(t), "cleanup", "--enforce", "--json", "--config.file="+second)
		for !p.ended() {
			r := s.run("clean_temp")
			removed += r.Files
			for reason := range r.Skipped {
				if strings.HasPrefix(reason, "error_") && reason != "error_no_lease" {
					s.harmed("skipped as %s", reason)
				}
			}
		}
		s.tried(1)
		if out := p.out.String(); strings.Contains(out, "error_E") || strings.Contains(out, "panic") {
			s.harmed("the other one says %s", out)
		}
	}
	tries := s.tries
	filler.leave()
	s.tries = tries
	s.cleaned(removed)
	s.report("two-cleaners")
}
