// Package proc observes the processes of the targets. A Target is a name and a Match; the Tracker
// finds the processes of all targets, with at most one listing of /proc per Refresh, and reads how
// much memory they use. A Usage is the sum over one target, a Member one of its processes. Events
// follows forks and exits, and a Handle is a pidfd through which one member can be signaled.
//
// A process is identified by its pid together with the inode of its /proc directory and its start
// time, never by the pid alone, and it belongs to one target at most. What could not be read is
// absent, never 0. No signal is sent to a process before its identity has been read again.
//
// Internally a process has parts with one owner each: its identity, the review that decides which
// target takes it, its membership, and the readings that are due at different times. The tick,
// which reads the memory of every member, costs one pread per process from a descriptor that is
// held open, and allocates nothing.
//
// The collector refreshes the Tracker, internal/heap finds runtimes by its members, and the
// actions signal through Handles. This is the only package that signals processes; when to do so
// is decided elsewhere.
package proc
