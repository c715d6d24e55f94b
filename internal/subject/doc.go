// Package subject holds the one table of what can be under pressure and be relieved.
package subject
