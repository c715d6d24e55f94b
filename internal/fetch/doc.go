// Package fetch reads one document of a service over HTTP and extracts numbers from it. An
// Endpoint is where to read, as configured; a Client reads it; a Want names one value of a JSON or
// Prometheus document and a Value answers it. A Probe only reports how the request went, as an
// Outcome.
//
// It connects to loopback and to hosts that the operator has listed, follows no redirect to
// another host, reads a bounded number of bytes within a deadline, and never turns into a number
// what is not one: a value that cannot be read is an error, never 0.
//
// The collector and the document providers of internal/heap use it. It sends no request that
// changes the service.
package fetch
