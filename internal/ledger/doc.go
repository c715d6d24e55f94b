// Package ledger learns from the journal which steps of a playbook help. A Book adds up the records of a target: how
// often a step relieved the pressure, what it freed in which time, and how long it took until the level was back. From
// that follow sentences of advice, which a person acts on, and a summary of each week. Nothing is changed by itself.
//
// Invariant: a number stands only where records carry it. A step that never ran under pressure has no share, and where
// the level has not come back yet there is no time. What is read is bounded, however large the journal is. The package
// reads no file; records and the time are given to it.
package ledger
