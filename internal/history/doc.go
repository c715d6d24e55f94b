// Package history keeps the smallest, mean and largest value of every gauge of a target for each
// five minutes, for two weeks, in one file in the folder of the journal.
//
// A Store is that file. It never grows beyond its bound and is never shortened or moved while it is
// in use: what is oldest is overwritten. The newest four hours stand in it as rows, one for each five
// minutes with all series; a killed process loses no more than the row that it had not written. Full
// rows become a block, in which each series is compressed by itself, so that two weeks of one gauge
// are a hundred short readings. Everything has a checksum: a damaged part is dropped, counted and
// logged, and the rest is read. A file of a later version, or one that is not a history, is not touched.
//
// A Recorder takes the values from the series store, writes a row every five minutes, notes the starts
// of services, and gives the rings of the series store their past back after a restart.
//
// Whatever fails here fails here only: nothing else waits for the disk of the history.
package history
