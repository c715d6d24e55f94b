// Package needs is the table of what each feature takes of a host: capabilities, system calls, rights to
// paths, and the lines of a systemd unit that give them. The command check compares it with the machine;
// tests hold the unit, its drop-in, the manifests of containers and the documentation against it.
package needs
