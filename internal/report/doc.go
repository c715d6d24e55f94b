// Package report is how a mistake in a configuration is reported: the check of each part calls a
// Func with the key, relative to that part, and what is wrong and what to write instead. Who calls
// the check knows where the part stands, and adds its place with Under.
package report
