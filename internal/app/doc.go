// Package app is the running exporter: it wires every room of the house in a straight line and owns
// the order of starting, reloading and stopping. An App is what survives reloads, a graph is
// everything derived from one configuration. A graph is built as a whole without side effects, and
// only then put in the place of the old one, so that a configuration that is wrong changes nothing.
//
// What the one-shot commands need in the same way is made by internal/setup. The package reads no
// flags, prints nothing and decides on no exit code: internal/cli does, and alone imports it.
package app
