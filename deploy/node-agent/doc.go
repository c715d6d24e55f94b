// Package nodeagent embeds the preload script that lets the exporter read the heap of a Node.js
// service that opens no port.
//
// FS contains Script, which an operator loads into the service with node --require. The other end
// of it is the provider node_agent in internal/heap. This package only carries the file, for the
// command export to write out: nothing here runs it or installs it into a service.
package nodeagent
