// Package dirscan walks directory trees. A Scan starts at one root and visits each Entry, a
// regular file, in its Folder, an open directory; the Result counts what was seen and, by Reason,
// what was skipped. A Histogram counts files and bytes by age in constant memory.
//
// The walk never leaves the root: every directory is opened relative to the one above it with
// openat2(RESOLVE_BENEATH|NO_SYMLINKS|NO_MAGICLINKS|NO_XDEV), so that neither a link nor a mount
// is ever followed, even one that appears while the walk is under way. Where openat2 is refused, each
// step is made by openat, with the same refusals (steps.go). Only directories are opened; a fifo or a
// device cannot block it.
//
// It runs close to the limit of the kernel: getdents64 into one buffer per walker, one statx
// with a minimal mask per entry, names as bytes, no allocation per entry, and a turn for other
// goroutines before the scheduler takes one (turns.go). The file portable.go is the same walk for systems
// without openat2 and statx.
//
// The collector walks in order to count, internal/safefs and internal/action in order to find what
// is due. The package itself changes nothing.
package dirscan
