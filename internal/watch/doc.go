// Package watch notifies others when the memory level of a target changes. A Change is one such
// event; a watcher is a configured receiver: a POST, a line in the log, or a command. A Set is all
// watchers of a configuration and outlives reloads.
//
// The sampler never waits for a watcher. Of several changes of a target that a slow watcher has
// not received yet, it receives only the newest.
//
// internal/app passes the present levels to the Set after each sweep. The package does not compute
// levels, and it runs no program itself: posts and commands are actions of internal/action.
package watch
