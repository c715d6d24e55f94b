package proc

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func mapped(t *testing.T, table string, most int) []string {
	t.Helper()
	procfs := t.TempDir()
	if err := os.Mkdir(filepath.Join(procfs, "7"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(procfs, "7/maps"), []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := MappedFiles(procfs, 7, func(path []byte, deleted bool) bool {
		name := string(path)
		if deleted {
			name += " is gone"
		}
		got = append(got, name)
		return len(got) < most
	})
	if err != nil {
		got = append(got, err.Error())
	}
	return got
}

func TestMappedFiles(t *testing.T) {
	const table = `55d0c8a00000-55d0c8a01000 r--p 00000000 08:01 1234                       /usr/bin/java
7f50d8000000-7f50d8021000 rw-p 00000000 00:00 0
7f50df000000-7f50df008000 rw-s 00000000 08:01 77                         /tmp/hsperfdata_a b/12 (deleted)
7f50e0000000-7f50e1000000 r-xp 00000000 08:01 99                         /usr/lib/jvm/libjvm.so
7ffd0f3d2000-7ffd0f3f3000 rw-p 00000000 00:00 0                          [stack]
7ffd0f3d2000-7ffd0f3f3000 rw-p 00000000 00:00 0   /no/end`
	want := []string{"/usr/bin/java", "/tmp/hsperfdata_a b/12 is gone", "/usr/lib/jvm/libjvm.so", "/no/end"}
	if got := mapped(t, table, 10); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := mapped(t, table, 2); !slices.Equal(got, want[:2]) {
		t.Errorf("asked for two: %q, want %q", got, want[:2])
	}
	if got := mapped(t, "1-2 r--p 0 0 0 /"+strings.Repeat("x", longestMapping), 10); len(got) != 1 || !strings.Contains(got[0], "buffer full") {
		t.Errorf("a line without end: %.100q, want an error", got)
	}
	if err := MappedFiles(t.TempDir(), 7, nil); err == nil {
		t.Error("a process that is not there has mappings")
	}
}

func FuzzMappedFiles(f *testing.F) {
	f.Add([]byte("55d0c8a00000-55d0c8a01000 r--p 00000000 08:01 1234 /usr/bin/java\n"))
	f.Add([]byte("/ (deleted)\n/\n\n"))
	procfs := f.TempDir()
	own := filepath.Join(procfs, strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(own, 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, table []byte) {
		if err := os.WriteFile(filepath.Join(own, "maps"), table, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = MappedFiles(procfs, os.Getpid(), func(path []byte, deleted bool) bool {
			if path[0] != '/' || bytes.IndexByte(path, '\n') >= 0 || bytes.HasSuffix(path, []byte(deletedFile)) && !deleted {
				t.Errorf("%q is taken for a path, deleted %v", path, deleted)
			}
			return true
		})
	})
}

func TestHandleMapsAndStopped(t *testing.T) {
	cmd, member := sleeper(t)
	h, err := Hold(member)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if found, err := h.Maps(filepath.Base(h.Exe())); err != nil || !found {
		t.Errorf("its own program: %v, %v, want that it is mapped", found, err)
	}
	if found, err := h.Maps("libjvm.so"); err != nil || found {
		t.Errorf("libjvm.so: %v, %v, want that it is not", found, err)
	}
	if stopped, err := h.Stopped(); err != nil || stopped {
		t.Errorf("stopped %v, %v", stopped, err)
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Signal(syscall.SIGCONT)
	deadline := time.Now().Add(10 * time.Second)
	for {
		stopped, err := h.Stopped()
		if err != nil {
			t.Fatal(err)
		}
		if stopped {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not stop")
		}
		<-time.After(time.Millisecond)
	}
}

// sleeper starts a process of its own and returns it as a Tracker finds it.
func sleeper(t *testing.T) (*exec.Cmd, Member) {
	t.Helper()
	length := fmt.Sprintf("60.%d", os.Getpid())
	cmd := exec.Command("sleep", length)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	tracker, err := New(Options{Targets: []Target{{Name: "t", Config: Config{Match: Match{Cmdline: Exprs{"^sleep " + regexp.QuoteMeta(length)}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer tracker.Close()
	deadline := time.Now().Add(10 * time.Second)
	for {
		if err := tracker.Refresh(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		for _, m := range tracker.Members("t") {
			if m.PID == cmd.Process.Pid {
				return cmd, m
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("its process is not found")
		}
		<-time.After(10 * time.Millisecond)
	}
}
