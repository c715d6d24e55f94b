// Package config reads the configuration file. A Config is the whole file. It is composed of the
// Config types that the other packages own, along with their defaults and their validation; a
// Target is one watched service.
//
// A Config that was returned without an error is complete and consistent: unknown keys are
// refused, and all mistakes are reported at once, as Errors that name file, line and key and say
// what to write instead. There is no partly valid configuration.
//
// internal/setup calls it for the exporter, at the start and at a reload, and for the one-shot
// commands. It has no side effects: nothing is created, opened for writing or changed.
package config
