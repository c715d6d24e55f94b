// Package heap reads the heap of a managed runtime from outside and can ask it for a collection. A
// provider is a way to do so: the inspector or the agent of Node.js, the agent of Python, the attach
// mechanism of the JVM, pprof, a document of the service, or anonymous memory as a fallback. A Client is one user's
// handle on the connection that a Pool keeps per provider and address; it is a Reader, and a
// Collector where the provider can collect. A Usage is one reading.
//
// It connects to loopback only, unless the operator has listed other hosts for a document, and
// follows no address that an answer suggests. Every exchange has a deadline and a size limit. A
// runtime that does not answer in time is busy, not broken. A collection that was requested and
// whose end was not seen is ErrUnknown and never reported as done.
//
// The collector reads and the action collect_garbage collects, through the same pool, so that a
// service is attached to once. The package never signals a process and never decides when to
// collect.
package heap
