// Package entry makes the entries of a policy out of the files of a walk: directories at a depth, files of
// a folder that belong together, or single files of which the newest never go. An Entry looks to those who
// judge like one file: the sum of the sizes, and the newest of the times of all that is in it. What a rule
// says of a file it says of an entry.
//
// A Walker turns the options of a dirscan.Scan into those of one over entries. An entry is visited when all
// that is in it has been seen; what could not be seen is named, so that no one takes a part for the whole.
// Directories cost the memory of one entry, groups that of the groups of the folders on the way down.
//
// The collector, which counts, and internal/action, which acts, walk with the same Walker: what a metric
// counts is what a run would take. The package reads and changes nothing by itself, but for the targets of
// symbolic links (Links).
package entry
