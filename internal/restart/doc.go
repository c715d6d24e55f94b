// Package restart asks the manager of a service to restart it: systemd over D-Bus, Docker and Podman over
// their sockets, Kubernetes by an eviction. It also decides whether it may, and remembers durably what was
// attempted: an attempt is written before its first effect, with an idempotency key, so that after a crash
// in whatever moment no intent restarts anything twice.
//
// It is the only place of the project that talks to such managers. A manager is asked once for each attempt
// and never again, whatever it answers. What was not seen is unknown, and counts as if it had happened.
package restart
