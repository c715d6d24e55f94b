// Package eval judges: it is a small Prometheus over the exporter's own metrics. A Ruleset is a
// set of checked rules. The Evaluator gathers the registry into bounded rings of its own,
// evaluates the rules over them with the official PromQL engine, tracks the state of every alert,
// and submits what fires or resolves as an alert.Batch. A StateStore carries active alerts across
// a restart.
//
// The same rule file raises the same alerts here and in a Prometheus. A rule that cannot be right
// is refused by Load, such as one that looks back further than the rings reach.
//
// internal/app evaluates right after a sweep of the sampler and connects Submit to the dispatcher.
// The package changes nothing in the world, and it is the only one that links PromQL.
package eval
