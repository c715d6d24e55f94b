// Package replay answers what the rules, thresholds, playbooks and policies of a configuration would have done in a past
// that the history has: each run that would have started, next to what really happened, and the files that a policy would
// have removed.
//
// Judging and deciding are those of the exporter: eval.Evaluator with the rules, and dispatch.Rehearsal, which is the
// dispatcher in a time that is moved. What is replaced is the world: values of five minutes from the history, the files of
// the folder log, and actions that have no effect.
//
// Invariant: nothing is changed, nothing is opened for writing, and no process or service is asked.
//
// Two evaluators see each five minutes: one at their highest pressure, by which runs start, and one at their lowest. What
// only the highest reaches, and a rule with `for` has to see for a while, may have started a run.
package replay
