// Package metric names every metric of the exporter, once. A series.Desc is a family that a source
// samples into the store; an Own is a metric that the exporter keeps about itself. Whoever publishes,
// reads, draws or documents a metric takes its variable: no other package writes a metric's name.
//
// Descs and Owns list them all; rules, dashboards and the metrics reference are checked against these
// lists. The package observes nothing and keeps no state.
package metric
