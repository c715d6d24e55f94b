//go:build attack

// Package attack tries for a set time each to have the built exporter do harm: remove, cut, move or show
// what no policy means. It consists of tests, and is built with the tag attack only, which make attack sets.
//
// The exporter runs as root with mode: enforce and a token, which is where it can do most harm. An attacker is a
// process of a user of its own (setpriv) that owns the watched folder. A manifest says what must be there
// afterwards, byte for byte.
//
// An attack is a test TestAttackX. It takes its time from the environment variable ATTACK_TIME, a Go
// duration (5s when it is not set), and logs exactly one line:
//
//	attack=NAME tries=N harm=N
//
// A try is one thing that the attacker did, and harm one thing that is not as it must be. An attack that was
// not tried has shown nothing: no line and no tries are failures, and so is any harm. The exporter under attack is
// ./spillway_exporter, or what ATTACK_BINARY names.
package attack
