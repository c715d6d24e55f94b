package journal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// child is the other process of the tests below: it opens a journal and prints the id of every
// intent that Begin has returned. With JOURNAL_TEST_FILE_LIMIT no file may grow beyond it.
func child(dir string) {
	if limit := os.Getenv("JOURNAL_TEST_FILE_LIMIT"); limit != "" {
		fullDiskChild(dir)
		return
	}
	j, err := Open(Options{Dir: dir, Logger: quiet()})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	var (
		mu  sync.Mutex
		wg  sync.WaitGroup
		out = bufio.NewWriter(os.Stdout)
	)
	for worker := range 16 {
		wg.Go(func() {
			for n := 0; ; n++ {
				id, err := j.Begin(context.Background(), Record{Target: fmt.Sprint(worker), Step: n, Intent: "to be killed"})
				if err != nil {
					return
				}
				mu.Lock()
				fmt.Fprintln(out, "begun", id)
				out.Flush()
				mu.Unlock()
				if n%2 == 0 {
					if j.Finish(context.Background(), id, func(r *Record) { r.Outcome = "done" }) == nil {
						mu.Lock()
						fmt.Fprintln(out, "done", id)
						out.Flush()
						mu.Unlock()
					}
				}
			}
		})
	}
	wg.Wait()
}

func self(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^$")
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// Every Begin that returned is there after a kill -9, and every Finish that returned too.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	begun, done := make(map[string]bool), make(map[string]bool)
	for round := range 8 {
		cmd := self(t, "JOURNAL_TEST_CHILD="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		for n := 0; ; n++ {
			line, err := lines.ReadString('\n')
			if n == 200+137*round {
				cmd.Process.Signal(syscall.SIGKILL) // what it prints until it dies counts too
			}
			if errors.Is(err, io.EOF) {
				break // a line that was cut off by the kill has no newline
			}
			what, id, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch what {
			case "begun":
				begun[id] = true
			case "done":
				done[id] = true
			default:
				t.Fatalf("the child says %q", line)
			}
		}
		cmd.Wait()

		j, err := Open(Options{Dir: dir, Logger: quiet()})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for id := range begun {
			r, found, err := j.Get(id)
			switch {
			case err != nil || !found:
				t.Errorf("round %d: the intent %s is lost: %v", round, id, err)
			case done[id] && r.Outcome != "done":
				t.Errorf("round %d: the result of %s is lost: outcome %q", round, id, r.Outcome)
			case !done[id] && r.Outcome != "done" && r.Outcome != OutcomeInterrupted:
				t.Errorf("round %d: %s has outcome %q, want done or interrupted", round, id, r.Outcome)
			}
		}
		if len(j.Interrupted()) == 0 {
			t.Errorf("round %d: nothing was interrupted, with half of the intents left open", round)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d intents and %d results survived 8 kills", len(begun), len(done))
}

// fullDiskChild runs with a limit on the size of files, which is what a full disk looks like to
// the journal, lifts it in the middle, and prints what it sees.
func fullDiskChild(dir string) {
	j, err := Open(Options{Dir: dir, Logger: quiet()})
	if err != nil {
		fmt.Println("open", err)
		return
	}
	first, err := j.Begin(context.Background(), Record{Intent: "before"})
	fmt.Println("before", err, j.Writable())
	info, _ := os.Stat(j.Path())
	limit := unix.Rlimit{Cur: uint64(info.Size()), Max: unix.RLIM_INFINITY}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		fmt.Println("setrlimit", err)
		return
	}
	// Until nothing more fits.
	failed := false
	for range 100 {
		if _, err = j.Begin(context.Background(), Record{Intent: strings.Repeat("x", 60_000)}); err != nil {
			failed = true
			break
		}
	}
	fmt.Println("full", failed, errors.Is(err, ErrUnwritable), j.Writable())
	// Now no page at all: a reader that has ended since may have set some free.
	limit.Cur = uint64(os.Getpagesize())
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		fmt.Println("setrlimit", err)
		return
	}
	big := strings.Repeat("y", 60_000)
	err = j.Finish(context.Background(), first, func(r *Record) { r.Outcome, r.Detail, r.Output, r.Before, r.After = "done", big, big, big, big })
	fmt.Println("finish", errors.Is(err, ErrUnwritable))
	limit.Cur = unix.RLIM_INFINITY
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		fmt.Println("setrlimit", err)
		return
	}
	_, err = j.Begin(context.Background(), Record{Intent: "after"})
	fmt.Println("after", err, j.Writable())
	r, _, err := j.Get(first)
	fmt.Println("first", r.Outcome, err)
	fmt.Println("close", j.Close())
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	cmd := self(t, "JOURNAL_TEST_CHILD="+dir, "JOURNAL_TEST_FILE_LIMIT=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := `before <nil> true
full true true false
finish true
after <nil> true
first done <nil>
close <nil>
`
	if got := string(out); got != want {
		t.Errorf("the child saw\n%s\nwant\n%s", got, want)
	}
	j := openTest(t, Options{Dir: dir})
	records := all(t, j, Filter{})
	if records[0].Intent != "after" || records[len(records)-1].Outcome != "done" {
		t.Errorf("after the restart: newest %q, oldest %q", records[0].Intent, records[len(records)-1].Outcome)
	}
}

// fill writes records and returns the closed journal's path and the ids.
func fill(t *testing.T, dir string, n int) (string, []string) {
	t.Helper()
	j := openTest(t, Options{Dir: dir})
	records := make([]Record, n)
	for i := range records {
		records[i] = Record{Target: "svc", Step: i, Intent: strings.Repeat("z", 300)}
	}
	ids, err := j.BeginAll(t.Context(), records)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if err := j.FinishLater(id, outcome("done")); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return j.Path(), ids
}

func TestCorruptIsMovedAsideAndRefused(t *testing.T) {
	damage := map[string]func(b []byte) []byte{
		"text":          func([]byte) []byte { return []byte("this is not a journal\n") },
		"zeros":         func(b []byte) []byte { return make([]byte, len(b)) },
		"cut short":     func(b []byte) []byte { return b[:5*4096] },
		"cut to a page": func(b []byte) []byte { return b[:4096] },
		"records":       func(b []byte) []byte { return []byte(strings.ReplaceAll(string(b), "zzzzz", "zz!zz")) },
		"both metas":    func(b []byte) []byte { clear(b[:8192]); return b },
		"pages shuffled": func(b []byte) []byte {
			for i := 2 * 4096; i+8192 <= len(b); i += 8192 {
				copy(b[i:i+4096], b[i+4096:i+8192])
			}
			return b
		},
	}
	for name, f := range damage {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, _ := fill(t, dir, 200)
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			raw = f(raw)
			if err := os.WriteFile(path, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			o := Options{Dir: dir, Logger: quiet()}
			_, err = Open(o)
			var corrupt *CorruptError
			if !errors.Is(err, ErrCorrupt) || !errors.As(err, &corrupt) {
				t.Fatalf("Open: %v, want a CorruptError", err)
			}
			kept, err := os.ReadFile(corrupt.Moved)
			if err != nil || string(kept) != string(raw) {
				t.Errorf("the corrupt file is not kept as it was: %v", err)
			}
			if !strings.Contains(corrupt.Error(), corrupt.Moved) || !strings.Contains(corrupt.Error(), "recreate") {
				t.Errorf("the message %q does not say where it is and what to do", corrupt)
			}
			// A restart does not count as a confirmation.
			if _, err := Open(o); !errors.Is(err, ErrCorrupt) {
				t.Errorf("the second Open: %v, want it refused until someone has looked", err)
			}
			// Moving the file elsewhere does.
			if err := os.Rename(corrupt.Moved, filepath.Join(t.TempDir(), "seen")); err != nil {
				t.Fatal(err)
			}
			j := openTest(t, o)
			begin(t, j, Record{})
		})
	}
}

func TestCorruptIsRecreatedWhereAllowed(t *testing.T) {
	dir := t.TempDir()
	path, _ := fill(t, dir, 5)
	if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	j := openTest(t, Options{Dir: dir, OnCorrupt: OnCorruptRecreate})
	begin(t, j, Record{})
	if got := all(t, j, Filter{}); len(got) != 1 {
		t.Errorf("%d records in a new journal, want 1", len(got))
	}
	aside, _ := filepath.Glob(filepath.Join(dir, fileName+".corrupt-*"))
	if len(aside) != 1 {
		t.Errorf("moved aside: %v, want one file", aside)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	// With a good journal in place, the old one next to it matters no more.
	openTest(t, Options{Dir: dir})
}

// Whatever single byte is changed on disk, Open either reads every record as it was or refuses.
func TestAnyFlippedByteIsFoundOrHarmless(t *testing.T) {
	dir := t.TempDir()
	path, ids := fill(t, dir, 40)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused, harmless := 0, 0
	for at := 0; at < len(good); at += 61 {
		bad := append([]byte(nil), good...)
		bad[at] ^= 0x10
		sub := filepath.Join(dir, fmt.Sprint(at))
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sub, fileName), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := Open(Options{Dir: sub, Logger: quiet()})
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("byte %d: %v", at, err)
			}
			refused++
			continue
		}
		harmless++
		for i, id := range ids {
			if r, found, err := j.Get(id); err != nil || !found || r.Step != i || r.Outcome != "done" {
				// The older of the two meta pages is a state of the journal that was true.
				if at >= 8192 {
					t.Errorf("byte %d: record %d is %+v, %v", at, i, r, err)
				}
				break
			}
		}
		j.Close()
		os.RemoveAll(sub)
	}
	t.Logf("%d bytes changed: %d refused, %d harmless", refused+harmless, refused, harmless)
	if refused == 0 {
		t.Error("no change was found")
	}
}

func TestMemoryFaultBecomesAnError(t *testing.T) {
	err := guarded(func() error {
		page, err := unix.Mmap(-1, 0, 4096, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			return err
		}
		defer unix.Munmap(page)
		return fmt.Errorf("read %d without a fault", page[0])
	})
	if !errors.Is(err, errDamaged) {
		t.Errorf("error %v, want errDamaged", err)
	}
}

func TestLoneBeginDoesNotWait(t *testing.T) {
	j := openTest(t, Options{Dir: t.TempDir()})
	best := time.Hour
	for range 20 {
		start := time.Now()
		begin(t, j, Record{})
		best = min(best, time.Since(start))
	}
	t.Logf("a lone Begin took %s at best", best)
}
