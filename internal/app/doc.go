// Package app is the running exporter: it connects the other packages. An App is what runs: its
// fields survive reloads. A graph is everything derived from one configuration, and is exchanged as
// a whole. A lifecycle knows how each part that was started is ended.
//
// A reload does all that can fail before it changes anything: a wrong configuration leaves the old
// one running. A shutdown has one deadline, of which each step has its share, and what does not
// end in its time is abandoned and named. Nothing waits without a bound for a file or folder: the
// server of its mount may be gone.
//
// internal/cli starts an App; what its one-shot commands need in the same way is made by
// internal/setup. This package reads no flags, prints nothing and decides on no exit code.
package app
