// Package health turns the series store into a report. A Target is the state of one watched
// service in base units, where a nil pointer is a value that is not known; a Report is its JSON
// form at /health/memory; a Recommendation is something that a person could do.
//
// Everything here is a pure function of a snapshot of the store. The health endpoint, the status
// page and the status log lines call it, and so they always agree. What is not known is absent
// from the report and never 0. The package reads no file, clock or network.
package health
