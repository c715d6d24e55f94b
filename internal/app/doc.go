// Package app is the composition root: it connects the other packages to commands. An App is the
// running exporter. Its fields survive reloads; a graph is everything that a configuration decides
// and is exchanged as a whole. A lifecycle knows how each part that was started is ended.
//
// A reload does all that can fail before it changes anything: a wrong configuration leaves the old
// one running. A shutdown has one deadline, of which each step has its share, and what does not
// end in its time is abandoned and named. Nothing waits without a bound for a file or folder: the
// server of its mount may be gone.
//
// main calls Main. No other package imports this one.
package app
