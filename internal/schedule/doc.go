// Package schedule runs the policies that have an interval of their own. A policy is due one
// interval after its last scheduled run, or after it was first configured; neither a reload nor a
// restart begins that anew, because the times are kept in the journal.
//
// A Schedule only requests runs, which the dispatcher then decides on as on any other. internal/app
// gives it the policies of each configuration and runs it.
package schedule
