// Package window says when what runs by itself may do so: named intervals of time in the syntax of
// Alertmanager's time_intervals. It is pure: the time comes in, and nothing is read but the database of
// time zones.
package window
