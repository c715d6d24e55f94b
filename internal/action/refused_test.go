package action

import (
	"os"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/refuse"
)

func TestMain(m *testing.M) { os.Exit(refuse.Main(m)) }

// TestWithoutCalls runs the attacks, and everything that removes, moves, rotates or signals, again as
// on older kernels and under the filters of containers.
func TestWithoutCalls(t *testing.T) {
	const fewer = "-rapid.checks=20"
	// These exchange folders by the call itself.
	const exchange = "-test.skip=TestExchanged"
	refuse.Again(t, "openat2:ENOSYS,faccessat2:ENOSYS", "^Test", fewer)
	refuse.Again(t, "openat2:EPERM,statx:EPERM,faccessat2:EPERM,pidfd_open:EPERM,copy_file_range:ENOSYS,fallocate:EPERM", "^Test", fewer)
	refuse.Again(t, "renameat2:ENOSYS", "^Test", fewer, exchange)
}
