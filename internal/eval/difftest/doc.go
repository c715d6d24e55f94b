// Package difftest compares the evaluator with the rule groups of Prometheus over random series
// and random rules: the notifications have to be identical at each evaluation. It is a module of
// its own, because the package rules brings the SDKs of several clouds, which the exporter must
// not link. Run it with
//
//	go test -v -timeout 10m .
//
// and refresh go.mod with `go mod tidy -e`: a test of a dependency names a module that cannot be
// downloaded.
package difftest
