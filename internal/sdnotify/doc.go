// Package sdnotify reports the state of the process to the service manager: sd_notify(3). A
// Notifier is the connection to it.
//
// A message is one datagram with a deadline, so that a manager that does not read never delays the
// exporter. Without a manager every call does nothing. internal/app reports readiness, reloads,
// shutdown and the watchdog's heartbeat; no other package knows that there is a manager.
package sdnotify
