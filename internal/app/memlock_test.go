package app

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

func TestLockAllowed(t *testing.T) {
	tests := []struct {
		name    string
		limit   uint64
		capable bool
		want    bool
	}{
		{"the usual limit", 8 << 20, false, false},
		{"a limit above what is used", 1 << 40, false, false},
		{"no limit", unix.RLIM_INFINITY, false, true},
		{"the capability", 0, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := lockAllowed(tt.limit, tt.capable)
			if (err == nil) != tt.want {
				t.Fatalf("%v, want allowed = %v", err, tt.want)
			}
			if err != nil && (!setup.IsMistake(err) || !strings.Contains(err.Error(), "write LimitMEMLOCK=infinity in a drop-in of the unit")) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestLockHelper locks the memory, says so, lets it go again when its standard input ends, and says
// so too. It runs in a process of its own, which no other test shares.
func TestLockHelper(t *testing.T) {
	if os.Getenv("SPILLWAY_TEST_LOCK") == "" {
		t.Skip("runs in a process of its own")
	}
	for _, on := range []bool{true, false} {
		if err := applyLock(on, !on); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("done\n")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	}
}

func TestLockMemory(t *testing.T) {
	if err := mayLock(); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestLockHelper$")
	cmd.Env = append(os.Environ(), "SPILLWAY_TEST_LOCK=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	lines := bufio.NewReader(out)
	for _, locked := range []bool{true, false} {
		if line, err := lines.ReadString('\n'); err != nil || line != "done\n" {
			rest, _ := io.ReadAll(lines)
			t.Fatalf("%q, %v\n%s", line, err, rest)
		}
		pages := statusKiB(t, cmd.Process.Pid, "VmLck")
		if (pages > 0) != locked {
			t.Errorf("locked: %d KiB, want any = %v", pages, locked)
		}
		if rss := statusKiB(t, cmd.Process.Pid, "VmRSS"); locked && rss > 90<<10 {
			t.Errorf("%d KiB resident: what is only reserved was made resident", rss)
		}
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Fatal(err)
		}
	}
}

func statusKiB(t *testing.T, pid int, key string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), key+":")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLockRefused: without the right, the exporter does not start, and a reload keeps the old
// configuration.
func TestLockRefused(t *testing.T) {
	if err := mayLock(); err == nil {
		t.Skip("this process may lock its memory")
	}
	_, err := New(t.Context(), testOptions(t, "lock_memory: true\ndiscover: {by: comm, top: 5}\n"), slog.New(slog.DiscardHandler))
	if !setup.IsMistake(err) || !strings.Contains(err.Error(), "LimitMEMLOCK") {
		t.Errorf("%v, want the mistake", err)
	}
	a := startApp(t, "")
	old, err := os.ReadFile(a.opts.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	writeTest(t, a.opts.ConfigFile, "lock_memory: true\n"+string(old))
	if err := a.Reload(); err == nil || errors.Is(err, os.ErrNotExist) || a.graph.Load().cfg.LockMemory {
		t.Errorf("%v, want the old configuration", err)
	}
}
