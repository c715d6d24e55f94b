// Package regret answers the question whether files that a dry run would have removed were used again. A
// Recorder remembers the victims of dry runs by hash, a bounded sample of them for each policy, in the state
// of the journal; Look compares them with the times of the files that are on disk now.
//
// A use is seen by the time of last access, or of the last write. Where the kernel does not keep the time of
// access, the answer is that it is not known, never that nothing was used. The package reads names and times
// only; it opens no file and changes none.
package regret
