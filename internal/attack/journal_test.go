//go:build attack

package attack

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	journalAnswer = 5 * time.Second  // for any answer
	journalStop   = 30 * time.Second // from SIGTERM to the end
	journalSettle = 200 * time.Millisecond
	journalPage   = 4096
)

// journalStrikes are what an attacker, a disk or a mistake does to the file of an open journal.
var journalStrikes = map[string]func(r *rand.Rand, file string) error{
	"truncate": func(r *rand.Rand, file string) error { return os.Truncate(file, r.Int64N(64*journalPage)) },
	"noise": func(r *rand.Rand, file string) error {
		return journalWrite(r, file, 1+r.IntN(20), func(b []byte) {
			for i := range b {
				b[i] = byte(r.Uint32())
			}
		})
	},
	"bits":    func(r *rand.Rand, file string) error { return journalFlip(r, file, 50) },
	"one bit": func(r *rand.Rand, file string) error { return journalFlip(r, file, 1) },
	"zeros": func(r *rand.Rand, file string) error {
		return journalWrite(r, file, 1+r.IntN(5), func(b []byte) { clear(b) })
	},
	"shuffle":     journalShuffle,
	"older":       journalOlder,
	"remove":      func(_ *rand.Rand, file string) error { return os.Remove(file) },
	"rename":      func(_ *rand.Rand, file string) error { return os.Rename(file, file+".old") },
	"move folder": func(_ *rand.Rand, file string) error { return os.Rename(filepath.Dir(file), filepath.Dir(file)+".old") },
	"replace": func(_ *rand.Rand, file string) error {
		return errors.Join(os.Rename(file, file+".old"), os.WriteFile(file, nil, 0o600))
	},
	"link": func(_ *rand.Rand, file string) error {
		return errors.Join(os.Rename(file, file+".old"), os.Symlink(file+".old", file))
	},
	"folder": func(_ *rand.Rand, file string) error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o700)) },
	"append": func(_ *rand.Rand, file string) error {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(bytes.Repeat([]byte("junk"), journalPage))
		return errors.Join(err, f.Close())
	},
	"hole": func(r *rand.Rand, file string) error {
		f, err := os.OpenFile(file, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		return errors.Join(unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, r.Int64N(16)*journalPage, 8*journalPage), f.Close())
	},
}

func journalPages(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return 1
	}
	return max(min(info.Size()/journalPage, 64), 1) // what is behind is not in use yet
}

// journalWrite writes over some pages.
func journalWrite(r *rand.Rand, file string, times int, fill func([]byte)) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for range times {
		b := make([]byte, 1+r.IntN(journalPage))
		fill(b)
		if _, err := f.WriteAt(b, r.Int64N(journalPages(f))*journalPage+r.Int64N(journalPage)); err != nil {
			return err
		}
	}
	return nil
}

func journalFlip(r *rand.Rand, file string, times int) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 1)
	for range times {
		at := r.Int64N(journalPages(f) * journalPage)
		if _, err := f.ReadAt(b, at); err != nil {
			return err
		}
		b[0] ^= 1 << r.IntN(8)
		if _, err := f.WriteAt(b, at); err != nil {
			return err
		}
	}
	return nil
}

func journalShuffle(r *rand.Rand, file string) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	a, b := make([]byte, journalPage), make([]byte, journalPage)
	for range 5 {
		x, y := r.Int64N(journalPages(f))*journalPage, r.Int64N(journalPages(f))*journalPage
		_, err1 := f.ReadAt(a, x)
		_, err2 := f.ReadAt(b, y)
		_, err3 := f.WriteAt(a, y)
		_, err4 := f.WriteAt(b, x)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			return err
		}
	}
	return nil
}

// journalOlder writes the copy that was made at the start over the file.
func journalOlder(_ *rand.Rand, file string) error {
	older, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(file)), "older.db"))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(older)
	return errors.Join(err, f.Close())
}

// journalVictim is an exporter with a folder that it may empty.
type journalVictim struct {
	t                   *testing.T
	dir, tmp, file, url string
	cmd                 *exec.Cmd
	out                 *stageOutput
	done                chan struct{}
	tries, harm         *atomic.Int64
}

// TestAttackJournal damages, removes, moves and replaces the file of the journal while runs are asked
// for. It is harm when an answer takes too long, when the exporter ends by itself or does not end in
// its time, and when a file is removed of which no record is in the journal at its place.
func TestAttackJournal(t *testing.T) {
	limit, err := time.ParseDuration(cmp.Or(os.Getenv("ATTACK_TIME"), "5s"))
	if err != nil {
		t.Fatalf("ATTACK_TIME: %v", err)
	}
	var tries, harm atomic.Int64
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	names := make([]string, 0, len(journalStrikes))
	for name := range journalStrikes {
		names = append(names, name)
	}
	slices.Sort(names)
	for until := time.Now().Add(limit); time.Now().Before(until); {
		v := journalStart(t, &tries, &harm)
		v.attack(r, names)
	}
	t.Logf("attack=journal tries=%d harm=%d", tries.Load(), harm.Load())
	if harm.Load() > 0 || tries.Load() == 0 {
		t.Fail()
	}
}

var journalListening = regexp.MustCompile(`msg="Listening on" address=([0-9.]+:[0-9]+)`)

func journalBinary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(cmp.Or(os.Getenv("ATTACK_BINARY"), "../../spillway_exporter"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func journalStart(t *testing.T, tries, harm *atomic.Int64) *journalVictim {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	v := &journalVictim{
		t: t, dir: dir, tmp: filepath.Join(dir, "tmp"), file: filepath.Join(dir, "journal", "journal.db"),
		out: &stageOutput{}, done: make(chan struct{}), tries: tries, harm: harm,
	}
	config := fmt.Sprintf("mode: enforce\ntrust_loopback: true\nstandalone: false\nsample_interval: 1s\njournal: {dir: %s}\n"+
		"targets:\n  - name: svc\n    temp_dirs: [{name: tmp, dir: %s, include: ['*.tmp'], max_age: 1h, age_by: mtime, min_age: 1s}]\n", filepath.Dir(v.file), v.tmp)
	if err := errors.Join(os.Mkdir(v.tmp, 0o755), os.WriteFile(v.config(), []byte(config), 0o600)); err != nil {
		t.Fatal(err)
	}
	v.cmd = exec.Command(journalBinary(t), "--config.file="+v.config(), "--web.listen-address=127.0.0.1:0")
	v.cmd.Stdout, v.cmd.Stderr = v.out, v.out
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		v.cmd.Wait()
		close(v.done)
	}()
	t.Cleanup(func() { v.cmd.Process.Kill() })
	for range 600 {
		if m := journalListening.FindStringSubmatch(v.out.String()); m != nil {
			v.url = "http://" + m[1]
			return v
		}
		select {
		case <-v.done:
			t.Fatalf("the exporter ended:\n%s", v.out)
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatalf("the exporter does not listen:\n%s", v.out)
	return nil
}

func (v *journalVictim) config() string { return filepath.Join(v.dir, "spillway.yml") }

// hurt notes one thing that is not as it must be.
func (v *journalVictim) hurt(format string, args ...any) {
	v.harm.Add(1)
	v.t.Errorf(format, args...)
}

// attack strikes once or several times amid runs, and then looks whether what is removed is recorded.
func (v *journalVictim) attack(r *rand.Rand, names []string) {
	v.place("first", 3)
	v.run()
	older, err := os.ReadFile(v.file)
	if err != nil {
		v.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(v.dir, "older.db"), older, 0o600); err != nil {
		v.t.Fatal(err)
	}
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for range 3 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					v.run()
				}
			}
		})
	}
	var struck []string
	for range 1 + r.IntN(4) {
		name := names[r.IntN(len(names))]
		if err := journalStrikes[name](r, v.file); err != nil {
			continue // it was removed or moved by the strike before
		}
		v.tries.Add(1)
		struck = append(struck, name)
		v.ask(http.MethodGet, "/", "")
		v.ask(http.MethodGet, "/api/v1/journal?limit=1000", "")
	}
	close(stop)
	asking.Wait()
	<-time.After(journalSettle)
	what := strings.Join(struck, ", ")
	if r.IntN(2) == 0 {
		what += ", reload"
		v.ask(http.MethodPost, "/-/reload", "")
	}
	v.recorded(what)
	v.ends(what)
}

// recorded asks for runs and checks that what they remove is in the journal.
func (v *journalVictim) recorded(what string) {
	before, _ := v.files()
	v.place("after", 5)
	for range 3 {
		v.run()
	}
	removed, recorded := 0, 0
	var err error
	settled := func() bool {
		removed = 5 - v.left("after")
		var now int
		now, err = v.files()
		recorded = now - before
		return removed == 0 || err == nil && recorded >= removed
	}
	<-time.After(journalSettle) // for what was accepted and would begin
	for until := time.Now().Add(journalAnswer); !settled(); <-time.After(journalSettle) {
		if time.Now().After(until) {
			v.hurt("after %s: %d files were removed, and the journal holds %d of them (%v)\n%s", what, removed, recorded, err, v.out)
			return
		}
	}
}

// left counts the files of place that are there.
func (v *journalVictim) left(prefix string) (n int) {
	entries, err := os.ReadDir(v.tmp)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) {
			n++
		}
	}
	return n
}

// files returns how many removed files the journal at its place records.
func (v *journalVictim) files() (n int, err error) {
	out, err := exec.Command(journalBinary(v.t), "journal", "--config.file="+v.config(), "--since=1h", "--limit=1000", "--output=json").Output()
	if err != nil {
		return 0, err
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var r struct{ Step, Files int }
		switch err := dec.Decode(&r); {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		case r.Step > 0:
			n += r.Files
		}
	}
}

func (v *journalVictim) place(prefix string, n int) {
	old := time.Now().Add(-2 * time.Hour)
	for i := range n {
		path := filepath.Join(v.tmp, fmt.Sprintf("%s-%d.tmp", prefix, i))
		if err := errors.Join(os.WriteFile(path, []byte("x"), 0o644), os.Chtimes(path, old, old)); err != nil {
			v.t.Fatal(err)
		}
	}
}

func (v *journalVictim) run() {
	v.ask(http.MethodPost, "/api/v1/run", `{"target":"svc","action":"clean_temp"}`)
}

// ask sends a request. It is harm when the answer does not come in time.
func (v *journalVictim) ask(method, path, body string) string {
	req, err := http.NewRequest(method, v.url+path, strings.NewReader(body))
	if err != nil {
		v.t.Error(err)
		return ""
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	limit := journalAnswer
	if path == "/-/reload" {
		limit *= 2 // it waits for the first sweep
	}
	start := time.Now()
	resp, err := (&http.Client{Timeout: 2 * limit}).Do(req)
	if err != nil {
		v.hurt("%s %s: %v", method, path, err)
		return ""
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if took := time.Since(start); err != nil || took > limit {
		v.hurt("%s %s: %v after %s", method, path, err, took)
	}
	return string(answer)
}

// ends terminates the exporter. One that has ended before did so by itself.
func (v *journalVictim) ends(what string) {
	select {
	case <-v.done:
		v.hurt("after %s the exporter ended by itself: %s\n%s", what, v.cmd.ProcessState, v.out)
		return
	default:
	}
	v.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-v.done:
		if code := v.cmd.ProcessState.ExitCode(); code != 0 && code != 1 {
			v.hurt("after %s the exporter ended with %s\n%s", what, v.cmd.ProcessState, v.out)
		}
	case <-time.After(journalStop):
		v.hurt("after %s the exporter has not ended %s after SIGTERM\n%s", what, journalStop, v.out)
	}
}
