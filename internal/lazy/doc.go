// Package lazy opens things when they are first needed: heap clients, watches, connections. A
// Provider has at most one open value; a Lease is the right to use it until Release or Discard; a
// Set is all providers of one owner, by name.
//
// At most one opening of a provider is under way at a time, and every waiter gets its result. A
// value that has been idle for long enough is closed, and never while a lease on it is out. After
// a failure nothing is opened before the back-off has passed. CheckCycles names a ring of
// providers that need one another before the first of them is opened.
//
// internal/heap and internal/hitrate build their pools on it; internal/web opens its templates
// with it and shows the Stats. The package does not know what it opens.
package lazy
