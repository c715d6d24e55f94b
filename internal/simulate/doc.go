// Package simulate tests the whole of judging and acting by deterministic simulation. It consists of
// tests.
//
// The evaluator, the dispatcher, the schedules and the shipped rules are the real ones. They run in a
// bubble of testing/synctest, where time passes only when nothing else is to be done. Around them stand
// models: a journal that loses what was not synced, folders, memory, actions that are slow, fail, panic
// or never return, an Alertmanager, people and a clock that is set. The exporter is reloaded, stopped and
// killed, at random moments and between any two things that it does to the world.
//
// Invariant: a seed is one story. Everything random comes from the seed: the story draws from a generator
// of its own, one event at a time; what the models decide while the exporter's goroutines run is computed
// from the seed and from what they are asked, never from the order in which they are asked. Two things
// hardly ever happen at the same nanosecond, so the scheduler has nothing to decide. The trace, a sum
// over all that happened, shows it: it is the same each time.
//
// The invariants of the exporter stand in invariants_test.go. A new one is a function there.
package simulate
