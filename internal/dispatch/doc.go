// Package dispatch decides what is done about an alert and does it: which playbook runs, when, one
// run per target at a time, with cooldown, verification and escalation.
//
// Invariant: the intent of a run, and of each of its steps, is in the journal before its first
// effect. A target in mode dry_run never sees an action that is asked to act for real. An alert
// that is answered with accepted has its run in the journal.
//
// # The life of an alert
//
//  1. Submit asks decide about each alert of a batch: is it ours, does its target have the playbook,
//     is a run open that it can join, does a cooldown hold, is there room.
//  2. An accepted alert makes a run. The intents of all new runs of the batch are written in one
//     sync; only then Submit answers.
//  3. The run takes a slot in the queue of its target. The run of the highest level goes first.
//  4. Its steps run in order. Before each: is the exporter shutting down, is the value falling by
//     itself, does the step apply at this level, does its own cooldown hold. The intent of the step
//     is recorded, the action runs, its result is recorded.
//  5. After a step that acted, fresh samples are awaited. The run ends as soon as the level is below
//     the `below` of the step; otherwise the next step follows.
//  6. The result of the run and its cooldown are written together.
//
// RunNow is the entrance without an alert: a person, a schedule, the end of a target's last process
// or a watcher. It joins the life at step 2. Cooldowns hold back only the end of a process.
//
// # States of a run
//
//	queued -> running -> verifying -> running -> ... -> ended (-> waiting -> queued ...)
//
// A run that is shut down before its first step goes from queued to ended, as interrupted.
//
// # Outcomes
//
// Those of an action (done, partial, failed, dry_run, unknown) sum up the steps. Relieved,
// ineffective and falling say what was seen of the value, waiting that what is left goes later,
// nothing_to_do that the actions found nothing, skipped that no step was due, and interrupted that the
// exporter stopped first.
//
// # Waiting
//
// What is too young or in use may not be removed yet. A run of a playbook that ended waiting for that
// leaves a wait: one per playbook of a target, with its alerts. goAgain starts the run that goes on with
// it; it also starts the next run for an alert that is known to fire when the cooldown ends. Both go
// the way of any run: a record first.
//
// One action of a schedule is looked at before it is recorded: a dry run, which has no effect. It is
// recorded only when there is something to do.
//
// # Cooldowns
//
// A run that acted starts a cooldown, one that waits does not. An ineffective one doubles it. An
// emergency breaks a cooldown once; the cooldown of the run that broke it cannot be broken. A run that did nothing leaves all of
// this as it was: it ran no step, because the value was falling, every step was skipped, it was
// interrupted or an intent could not be recorded. A run that found nothing to do never shortens the
// cooldown that holds. A dry run has a cooldown of its own, which holds dry runs only.
//
// # Pauses, windows, budgets
//
// Whether a playbook may run by itself is one pure function, permit: of its mode, the level, a pause, its cooldown, its
// window and its budget. It is asked for alerts, for runs that go again and at the end of a process. The rest that begins
// by itself asks for pauses only, and each step of it asks for pauses and its own window again. A person is never held
// back. The use of a budget is written before the intent of the run and given back when the run did nothing.
//
// # What survives
//
// A reload exchanges the targets: open runs, waits and cooldowns stay, and a run goes on with what the new
// configuration allows. A restart keeps the cooldowns, pauses and used budgets, which the journal stores; the runs that the
// previous process left open are interrupted and are not run again. Which alerts a run has served is
// kept in memory only: after a restart a repeated alert is answered with cooldown, not duplicate.
package dispatch
