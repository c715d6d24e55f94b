// Package loopback says which addresses stay on this host, and which come from the same other host.
// What is asked or answered on loopback is not seen by others, and no one else can reach it.
package loopback
