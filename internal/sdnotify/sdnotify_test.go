package sdnotify

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// manager listens where a service manager would.
func manager(t *testing.T) (socket string, receive func() string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return socket, func() string {
		t.Helper()
		buf := make([]byte, 4096)
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

func TestMessages(t *testing.T) {
	socket, receive := manager(t)
	n, err := New(env("NOTIFY_SOCKET", socket))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		send func() error
		want string
	}{
		{"ready", func() error { return n.Ready("3 targets") }, `^READY=1\nSTATUS=3 targets$`},
		{"reloading", n.Reloading, `^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*$`},
		{"alive", n.Alive, `^WATCHDOG=1$`},
		{"stopping", func() error { return n.Stopping("bye") }, `^STOPPING=1\nSTATUS=bye$`},
		{"a status cannot begin another assignment", func() error { return n.Ready("a\nSTOPPING=1\r\n") }, `^READY=1\nSTATUS=a STOPPING=1  $`},
		{"a long status is cut", func() error { return n.Ready(strings.Repeat("ü", 400)) }, `^READY=1\nSTATUS=ü{256}\.\.\.$`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.send(); err != nil {
				t.Fatal(err)
			}
			if got := receive(); !regexp.MustCompile(tc.want).MatchString(got) {
				t.Errorf("sent %q, want %s", got, tc.want)
			}
		})
	}
}

func TestWithoutManager(t *testing.T) {
	n, err := New(env("WATCHDOG_USEC", "1000000"))
	if err != nil {
		t.Fatal(err)
	}
	if n.Watchdog() != 0 {
		t.Errorf("a watchdog of %v without a manager", n.Watchdog())
	}
	if err := n.Ready(""); err != nil {
		t.Error(err)
	}
}

// A manager that is there and does not read must not hold the exporter up.
func TestManagerThatDoesNotRead(t *testing.T) {
	socket, _ := manager(t)
	n, err := New(env("NOTIFY_SOCKET", socket))
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		if err = n.Alive(); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "service manager") {
		t.Errorf("a full socket gives %v, want an error after the deadline", err)
	}
}

func TestEnvironment(t *testing.T) {
	self := strconv.Itoa(os.Getpid())
	for _, tc := range []struct {
		name      string
		env       []string
		watchdog  time.Duration
		wantError string
	}{
		{"no watchdog", []string{"NOTIFY_SOCKET", "@spillway"}, 0, ""},
		{"watchdog", []string{"NOTIFY_SOCKET", "/run/x", "WATCHDOG_USEC", "60000000"}, time.Minute, ""},
		{"watchdog of ours", []string{"NOTIFY_SOCKET", "/run/x", "WATCHDOG_USEC", "5", "WATCHDOG_PID", self}, 5 * time.Microsecond, ""},
		{"watchdog of another", []string{"NOTIFY_SOCKET", "/run/x", "WATCHDOG_USEC", "5", "WATCHDOG_PID", "1"}, 0, ""},
		{"not a number", []string{"NOTIFY_SOCKET", "/run/x", "WATCHDOG_USEC", "1min"}, 0, "not a number of microseconds"},
		{"negative", []string{"NOTIFY_SOCKET", "/run/x", "WATCHDOG_USEC", "-1"}, 0, "not a number of microseconds"},
		{"too long", []string{"NOTIFY_SOCKET", "/run/x", "WATCHDOG_USEC", "9223372036854775807"}, 0, "not a number of microseconds"},
		{"relative socket", []string{"NOTIFY_SOCKET", "notify"}, 0, "neither a path nor an abstract socket"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, err := New(env(tc.env...))
			if (err == nil) != (tc.wantError == "") || err != nil && !strings.Contains(err.Error(), tc.wantError) {
				t.Errorf("error %v, want %q", err, tc.wantError)
			}
			if n.Watchdog() != tc.watchdog {
				t.Errorf("watchdog %v, want %v", n.Watchdog(), tc.watchdog)
			}
		})
	}
}
