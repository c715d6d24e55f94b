package safefs

import (
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/refuse"
)

// TestWithoutCalls runs every test again as on older kernels, on file systems without
// RENAME_NOREPLACE (EINVAL), and under the filters of containers.
func TestWithoutCalls(t *testing.T) {
	refuse.Again(t, "openat2:ENOSYS", "^Test")
	refuse.Again(t, "renameat2:EINVAL", "^Test")
	refuse.Again(t, "openat2:EPERM,statx:EPERM,faccessat2:EPERM,fallocate:EPERM,renameat2:ENOSYS", "^Test")
}
