// Package safefs is the only one that removes, moves or truncates files of others. A Remover
// removes files below one root during one run; a Rotator rotates logs; an Identity is what must
// not change between the judgment and the removal; a Reason is why a file that was due stayed.
// TempDir and Trigger are the few files that the exporter creates for itself and removes again.
//
// A file goes only when all of this is true, checked in this order: it is a regular file found by
// a walk that never left the root, it has one link (or more are allowed), it is older than the
// floor, no process has it open, and it is what it was when it was judged. Whatever is in doubt
// stays and is counted with its reason. A log is the exception to the open check: not one byte
// leaves it before a synced copy has its final name.
//
// internal/action calls it with what a policy found due, and internal/config checks roots with it.
// It never decides which files are due, and with DryRun it does everything but the effect.
package safefs
