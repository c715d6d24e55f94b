// Package loopback says which addresses stay on this host. What is asked or answered there is not
// seen by others, and no one else can reach it.
package loopback
