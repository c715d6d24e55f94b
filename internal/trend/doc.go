// Package trend judges how fast the memory of a target grows by what it was at the same time of day on other days, so that a
// service which breathes with the day is not taken for one that leaks.
//
// Of is a pure function of hours: Theil-Sen over pairs of the same hour of the day within one start of the service, in the hours
// in which it is quietest. It says how sure it is, and "not known yet" before two days are there. A Keeper keeps the hours of
// two weeks of each target, filled from the history and then by each five minutes, and puts what it judges on a Board, where the
// sampler, the page and the dispatcher read it. The package reads no file and no clock.
package trend
