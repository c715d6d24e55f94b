// Package collector observes. A Source reads one subject of one target: its processes, heap, a
// cache, a temporary folder, a probe. The Sampler runs Jobs, each a Source with an interval and a
// deadline, in Lanes that do not wait for one another, and commits what each of them read as one
// Batch to the series store. The Exporter serves that store to Prometheus.
//
// All I/O happens in the Sampler. A scrape reads memory only, so its duration does not depend on
// how many processes or files there are. What could not be read becomes absent, never 0; the
// metric spillway_source_success says which source failed, and ErrAbsent marks what is merely not
// there.
//
// internal/app builds the sources from the configuration and owns the Sampler. Nothing in this
// package, or reachable from it by imports, removes a file, signals a process or runs a program.
package collector
