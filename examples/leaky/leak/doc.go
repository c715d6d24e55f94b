// Package leak is a service that misbehaves as real ones do: its heap grows with garbage for which
// no collection is requested, a file cache is never trimmed and keeps its contents in memory too,
// temporary files pile up, many of them empty, and one of them stays open. With SessionBytes it
// also leaks: what it remembers of each session is never let go. It serves pprof, so that a
// collection can be forced and the leak be found from outside.
//
// It is bounded: it creates files below one folder only, stops growing at MaxResidentBytes by
// itself, and ends with its context. The command leaky and the tests run it; the exporter never
// does.
package leak
