package safefs

import (
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/refuse"
)

// TestWithoutCalls runs every test again as on older kernels, on file systems without
// RENAME_NOREPLACE (EINVAL), and under the filters of containers.
func TestWithoutCalls(t *testing.T) {
	// These exchange folders by the call themselves; the last one needs the attributes that only statx says.
	const exchange = "-test.skip=TestRootsRemember|TestExchangedAfterTheLook|TestExchangedQuarantine|TestEachChangeOfANameIsSeen"
	const attributes = "|TestImmutableIsForeseen"
	refuse.Again(t, "openat2:ENOSYS,faccessat2:ENOSYS", "^Test")
	refuse.Again(t, "renameat2:EINVAL", "^Test", exchange)
	refuse.Again(t, "openat2:EPERM,statx:EPERM,faccessat2:EPERM,fallocate:EPERM,renameat2:ENOSYS", "^Test", exchange+attributes)
}
