// Package typecheck renders the Helm chart and reads what comes out, and the manifests in this
// folder's parent, into the types of Kubernetes and of the Prometheus operator, strictly: an unknown
// field, or a value of another type, is an error. kubeconform then validates them against the
// schemas that Kubernetes itself publishes, so that a required field that is missing is an error
// too. It is a module of its own, because the exporter must not link those types. Run it with
//
//	go test .            # -update writes the manifests that are rendered from the chart
//
// It does not see what only an API server checks, such as a name that is taken.
package typecheck
