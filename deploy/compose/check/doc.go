// Package check loads compose.yaml with the loader of Docker Compose, which validates it against the
// schema of the Compose specification, and checks what it mounts: that every file is there, and that
// promtool and amtool accept the files as the containers see them. It is a module of its own,
// because the exporter must not link the loader. Run it with make check-compose.
package check
