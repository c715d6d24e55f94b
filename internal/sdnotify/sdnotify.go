package sdnotify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	writeTimeout = time.Second
	maxStatus    = 512 // bytes of a status line
)

// Notifier is the way to the service manager. It is safe for concurrent use.
type Notifier struct {
	socket   *net.UnixAddr // nil: there is no manager
	watchdog time.Duration
}

// New reads the manager's address and the watchdog's time from the environment. A watchdog that
// is meant for another process is none.
func New(getenv func(string) string) (*Notifier, error) {
	n := &Notifier{}
	socket := getenv("NOTIFY_SOCKET")
	if socket == "" {
		return n, nil
	}
	if socket[0] != '/' && socket[0] != '@' {
		return n, fmt.Errorf("NOTIFY_SOCKET=%q is neither a path nor an abstract socket", socket)
	}
	n.socket = &net.UnixAddr{Name: socket, Net: "unixgram"}
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return n, nil
	}
	text := getenv("WATCHDOG_USEC")
	if text == "" {
		return n, nil
	}
	usec, err := strconv.ParseInt(text, 10, 64)
	if err != nil || usec <= 0 || usec > int64(1<<63-1)/int64(time.Microsecond) {
		return n, fmt.Errorf("WATCHDOG_USEC=%q is not a number of microseconds", text)
	}
	n.watchdog = time.Duration(usec) * time.Microsecond
	return n, nil
}

// Watchdog returns the time after which the manager kills a process that did not say Alive, or 0
// where it does not watch.
func (n *Notifier) Watchdog() time.Duration { return n.watchdog }

// Ready says that the start, or the reload that was announced, has ended, and shows a status line.
func (n *Notifier) Ready(status string) error { return n.send("READY=1\n" + statusLine(status)) }

// Reloading says that the configuration is being loaded; Ready ends it.
func (n *Notifier) Reloading() error {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	return n.send("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(ts.Nano()/1000, 10))
}

// Stopping says that the process has begun to end.
func (n *Notifier) Stopping(status string) error { return n.send("STOPPING=1\n" + statusLine(status)) }

// Alive feeds the watchdog.
func (n *Notifier) Alive() error { return n.send("WATCHDOG=1") }

// statusLine keeps what a person reads in systemctl status to one short line: a line break would
// begin another assignment.
func statusLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxStatus {
		text = strings.ToValidUTF8(text[:maxStatus], "") + "..."
	}
	return "STATUS=" + text
}

func (n *Notifier) send(state string) error {
	if n.socket == nil {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, n.socket)
	if err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	err = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		_, err = conn.Write([]byte(state))
	}
	if err = errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	return nil
}
