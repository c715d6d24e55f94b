// Package policy is what an operator allows for one directory. There are four kinds, Cache, Temp,
// Upload and Log, and Common is what they share. Globs and Names decide which files belong to the
// policy, Limits how much it may contain, and a Verdict is whether one entry is due for removal
// and why.
//
// The decisions are pure functions of an entry, the policy and the time. The collector, which
// observes, and internal/action, which acts, call the same ones: what a metric or a dry run
// announces is what a real run removes.
//
// The package touches no file of a policy; FreeOf asks the file system how much room is left.
package policy
