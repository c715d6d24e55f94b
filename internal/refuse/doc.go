// Package refuse makes system calls fail in this process and in every program that it starts, as an
// older kernel or a filter of a container does: by a seccomp filter of its own, which cannot be
// removed again. It exists for tests and benchmarks; the exporter does not contain it.
package refuse
