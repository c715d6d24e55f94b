// Package evidence captures what holds a target's memory, and says what grew. A Capturer takes one Profile
// of one target: rows of functions, classes, types, mappings or file patterns with their live bytes. Diff
// compares profiles of one start of a process and ranks rows by growth; it names a culprit only where the
// growth is larger than the error of the measurement and has lasted over several captures.
//
// A Rung is one way to capture, with the price that it may have: how long the target pauses, and how many
// bytes it takes. The table Rungs lists them, the preferred ones of each runtime first. A rung is taken only if its worst
// case fits into the room that the target has left; see Budget.Check. What was measured on this target the
// last time replaces the assumption of the table.
//
// A profile has names only: no values, no strings of the heap and no paths outside the code. Names come from
// the target and are not trusted: they are bounded, freed of control characters and redacted before anything
// else sees them. The package reads and asks; it removes, signals and executes nothing.
package evidence
