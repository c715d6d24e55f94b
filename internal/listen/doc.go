// Package listen opens the listeners of the exporter and serves them. A listener is a TCP address, a
// vsock port or a socket of systemd; its file of TLS and of basic authentication is that of the
// exporter-toolkit, and Auth is what this file requires of every caller.
//
// Open has the only side effect before Serve: the sockets. The file of the exporter-toolkit is read
// again for each request, so what it required at the start proves nothing later: Authenticated
// reports on one request. Serve gives each listener places of its own, so that no crowd closes it to
// those who have proved who they are.
package listen
