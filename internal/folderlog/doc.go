// Package folderlog keeps what became of the files of a folder: when each was made, opened and deleted. It knows a
// file by the hash of its path alone.
//
// A Log is one file in the folder of the journal. It never grows beyond MaxBytes: the oldest events are overwritten. A
// folder with many files, or one in which a lot happens, is sampled by the hashes: a file is in the sample with all that
// becomes of it, or with nothing, so that shares stay right. Events are written as frames, each with a checksum: a
// damaged one is dropped and counted, and the rest is read. A file of a later version, or one that is something else, is
// not touched.
//
// Whatever fails here fails here only: a scan of a folder goes on without the log.
package folderlog
