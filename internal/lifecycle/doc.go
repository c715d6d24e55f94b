// Package lifecycle ends what was started: named steps, the last one first, within one deadline. A
// step that does not end in its time is abandoned and named, and takes no time from those after it:
// a call that is stuck in the kernel cannot be cancelled.
package lifecycle
