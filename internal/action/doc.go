// Package action is what can be done about pressure. An Action is one thing, such as clean_temp,
// evict_cache or collect_garbage, in a file of its own and behind one method. A Request says for
// which target and how; a Result counts what was done, with one PolicyResult per directory policy
// and an Outcome.
//
// An action never decides whether it should run and never writes the journal: the dispatcher has
// done both before it calls Run. With DryRun set an action goes through the same code and stops
// before each effect, so that a dry run announces what a real run would do; it opens none of the
// files that it looks at. A Result never claims
// more than was observed: when the completion was not seen, the outcome is unknown.
//
// Files are removed, moved and truncated through internal/safefs, processes are signaled through
// internal/proc, and programs are executed in command.go alone, without a shell. No part of an
// alert becomes a command, a path or an argument.
package action
