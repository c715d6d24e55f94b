package proc

import (
	"os"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/refuse"
)

func TestMain(m *testing.M) { os.Exit(refuse.Main(m)) }

// TestWithoutCalls runs the tests of what signals, and of what reads processes, as on older kernels.
func TestWithoutCalls(t *testing.T) {
	const live = "Hold|Handle|Signal|Kill|Held|Effort|FDs"
	refuse.Again(t, "pidfd_open:ENOSYS", live)
	refuse.Again(t, "pidfd_open:EPERM,statx:ENOSYS", live)
	refuse.Again(t, "pidfd_send_signal:ENOSYS", "^TestSignalsRefused$")
	refuse.Again(t, "pidfd_send_signal:EPERM", "^TestSignalsRefused$")
}

// TestSignalsRefused: without pidfd_send_signal no process is held for a signal, and the error names the call.
func TestSignalsRefused(t *testing.T) {
	_, err := Hold(Member{PID: os.Getpid()})
	refused := strings.Contains(os.Getenv(refuse.Variable), "pidfd_send_signal")
	if err == nil || strings.Contains(err.Error(), "pidfd_send_signal") != refused {
		t.Errorf("Hold: %v; the call is refused: %v", err, refused)
	}
	if (Signals() != nil) != refused {
		t.Errorf("Signals: %v", Signals())
	}
}
