package action

import (
	"os"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/refuse"
)

func TestMain(m *testing.M) { os.Exit(refuse.Main(m)) }

// TestWithoutCalls runs the attacks, and everything that removes, moves, rotates or signals, again as
// on older kernels and under the filters of containers: all but those that take the longest, of many files
// and of Java virtual machines.
func TestWithoutCalls(t *testing.T) {
	const slow, fewer = "-test.skip=TestEvictMany|TestWakeJVM|TestEvictRefine|EqualOracle", "-rapid.checks=10"
	refuse.Again(t, "openat2:ENOSYS,faccessat2:ENOSYS", "^Test", slow, fewer)
	refuse.Again(t, "openat2:EPERM,statx:EPERM,faccessat2:EPERM,pidfd_open:EPERM,copy_file_range:ENOSYS,fallocate:EPERM", "^Test", slow, fewer)
	// TestExchanged... exchange folders by the call itself.
	refuse.Again(t, "renameat2:ENOSYS", "Rotate|Quarantine|Upload|Strict|Killed|Two|Kinds|Conformance", fewer, "-test.skip=TestExchanged")
}
