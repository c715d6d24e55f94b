// Package control is how a person on this host talks to the running exporter: over a unix socket
// alongside its journal. Who may open it is decided by the kernel: root and the exporter's own user.
// A command such as `cleanup` finds the exporter that holds the journal, and has its work done there,
// by the same dispatcher and in the same journal.
//
// A request is one JSON object over HTTP. The answer is a line of JSON for each Event, the last of
// which is the end. A connection that breaks before it leaves open what became of the request.
package control
