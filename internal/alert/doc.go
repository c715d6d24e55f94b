// Package alert is the vocabulary of everything that reports alerts. An Alert has the form that
// Alertmanager's webhook gives it; a Batch is a set of alerts that arrived together, with the
// Trigger that it came through; a Disposition is the answer to one of them.
//
// The webhook, the poller of internal/pull and the embedded evaluator all produce Batches, so the
// dispatcher cannot distinguish them but by their trigger. The decoders read untrusted input: they
// limit its size, ignore fields that they do not know, and return a DecodeError that names the
// byte or the field.
//
// The package decides nothing: what is done about an alert is up to internal/dispatch.
package alert
