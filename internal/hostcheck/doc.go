// Package hostcheck says what of a configuration will not work on this machine for this process, as the
// user that it is, with its capabilities and its view of the file system, and what to write so that it
// does. Every question is one that changes nothing.
package hostcheck
