// Package typecheck reads the manifests into the types of Kubernetes and of the Prometheus
// operator, strictly: an unknown field, or a value of another type, is an error. It is a module of
// its own, because the exporter must not link those types. Run it with
//
//	go test .
//
// It does not see what only an API server checks, such as a required field that is missing.
package typecheck
