// Package memlock keeps the memory of the process from being paged out where the configuration says so.
package memlock
