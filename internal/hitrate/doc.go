// Package hitrate infers the hits and misses of a file cache from the kernel's notifications about
// the opens of its files (inotify), without help from the application. A Watch follows the folders
// of one Cache; a Pool shares watches and keeps them across reloads; a Handle is one user's access
// to a watch; Counts are the totals.
//
// A hit is a file that was opened and closed without being written. A miss is a file that was
// filled: created or rewritten and closed, or moved in. Where the kernel's queue overflowed, or a
// clean-up of the exporter itself opened the files, nothing is counted: that interval is void, and
// void intervals are counted.
//
// The collector publishes the totals, and an eviction asks when a file was last used. The package
// reads names only; it never opens a file of the cache.
package hitrate
