//go:build e2e

// Package e2e tests the built binary from outside. The harness starts real servers at both ends: a
// Node.js service that leaks, Debian's Prometheus and Alertmanager, and files on a real disk.
//
// A test judges what an operator sees: output, HTTP answers, files and processes. It never reaches
// into the exporter, so nothing passes that works inside the process only. The package consists of
// tests, and is built with the tag e2e only, which make e2e sets.
package e2e
