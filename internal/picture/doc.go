// Package picture makes the pictures of the documents small. Only tests that take pictures use it; nothing
// of it is in the exporter.
package picture
