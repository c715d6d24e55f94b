package safefs

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestFits: a copy leaves a hundredth of the disk free, at most 64 MiB; a disk that has less than
// nothing free has no room, whatever number that arrives as.
func TestFits(t *testing.T) {
	f := func(name string, st unix.Statfs_t, need int64, want bool) {
		t.Helper()
		if got := fits(&st, need); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	f("with the reserve", unix.Statfs_t{Bsize: 4096, Blocks: 1000, Bavail: 12}, 2*4096, true)
	f("a byte more", unix.Statfs_t{Bsize: 4096, Blocks: 1000, Bavail: 12}, 2*4096+1, false)
	f("nothing left", unix.Statfs_t{Bsize: 4096, Blocks: 1000}, 1, false)
	f("less than nothing left", unix.Statfs_t{Bsize: 4096, Blocks: 1000, Bavail: ^uint64(299)}, 1, false)
	f("more than there is", unix.Statfs_t{Bsize: 4096, Blocks: 1000, Bavail: 1 << 40}, 1, false)
}
