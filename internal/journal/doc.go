// Package journal is the durable audit trail of what was about to be done and with what result. A
// Record is one step of a run: its intent, which Begin writes, and its result, which Finish adds.
// A Filter selects records. Small named states of other components, such as cooldowns, are kept
// next to the records.
//
// Begin returns only after the intent is synced to disk, so that there is no effect of which the
// journal does not know. An intent without a result is reported as interrupted at the next start.
// Where the journal cannot be written, Begin fails and nothing may be done.
//
// The dispatcher writes; the page, the API and the command journal query. One process at a time
// has the file open for writing. Old records are removed by age and by size, never an open one.
package journal
