// Package wake asks the kernel to report pressure as it arises, so that a target is sampled at once
// and not at its next turn. A Waker holds what is registered for a set of Subjects: triggers of
// pressure stall information (memory.pressure of a cgroup, /proc/pressure/memory), inotify on
// memory.events, and thresholds of memory.usage_in_bytes of cgroup version 1.
//
// One goroutine waits for all of them, and for nothing while nothing is registered. The kernel's
// calls only add to sampling by the clock: what may not be opened, or is not there, is logged once
// and left out. The rate of the calls is bounded for each target, however many events there are.
//
// It reads what the kernel reports and writes only to register: to files of procfs and cgroupfs,
// checked to be such, and never to any other file.
package wake
