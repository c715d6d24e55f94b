package app

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serviceManager listens where systemd would and returns what wait has to see next. Messages of
// the watchdog are counted and passed over.
func serviceManager(t *testing.T) (wait func(want ...string), fed func() bool) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "300000")
	alive := false
	wait = func(want ...string) {
		t.Helper()
		buf := make([]byte, 4096)
		for {
			if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %q: %v", want, err)
			}
			got := string(buf[:n])
			if got == "WATCHDOG=1" {
				alive = true
				if want[0] == got {
					return
				}
				continue
			}
			for _, w := range want {
				if !strings.Contains(got, w) {
					t.Errorf("the service manager was sent %q, which lacks %q", got, w)
				}
			}
			return
		}
	}
	return wait, func() bool { return alive }
}

func TestServiceManagerIsTold(t *testing.T) {
	wait, fed := serviceManager(t)
	o := testOptions(t, "")
	good := o.ConfigFile
	a, err := New(t.Context(), o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()

	wait("READY=1", "STATUS=0 targets, http://127.0.0.1:")
	wait("WATCHDOG=1")
	if err := a.Reload(); err != nil {
		t.Error(err)
	}
	wait("RELOADING=1", "MONOTONIC_USEC=")
	wait("READY=1", "STATUS=0 targets")
	a.opts.ConfigFile = filepath.Join(filepath.Dir(good), "missing.yml")
	if err := a.Reload(); err == nil {
		t.Error("a missing file was loaded")
	}
	wait("RELOADING=1")
	wait("READY=1", "STATUS=the configuration was not loaded, the old one still runs: ", "missing.yml")
	cancel()
	wait("STOPPING=1")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !fed() {
		t.Error("the watchdog was never fed")
	}
}

// A process that no longer observes must not feed its watchdog, however well it answers.
func TestWatchdogWantsSweeps(t *testing.T) {
	a := startApp(t, "sample_interval: 5m\ndiscover: {by: comm, top: 5}\n")
	if !a.alive() {
		t.Error("not alive after the first sweep")
	}
	for _, tc := range []struct {
		ago  time.Duration
		want bool
	}{{14 * time.Minute, true}, {16 * time.Minute, false}} {
		last := time.Now().Add(-tc.ago)
		a.manager.swept.Store(&last)
		if got := a.alive(); got != tc.want {
			t.Errorf("alive is %v when the last sweep was %v ago at an interval of 5m", got, tc.ago)
		}
	}
}

func TestServiceManagerEnvironment(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "nowhere")
	_, err := New(t.Context(), testOptions(t, ""), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "NOTIFY_SOCKET") {
		t.Errorf("got %v, want an error that names NOTIFY_SOCKET", err)
	}
}
