// Package series is what was sampled. A Desc defines a family of series once: it is the key in the
// Store and the metric at /metrics. A Batch is what one source read in one sample; the Store has
// the newest Sample of every series and, for those that ask for it, rings of the recent past in
// three Tiers. Level, Thresholds and Leveller turn ratios into levels with hysteresis, and Growth
// and Exhaustion estimate a trend.
//
// A value that could not be read is not in the store: absent is never 0. Memory is bounded: the
// rings have a fixed length, and series above the cap are dropped and counted.
//
// The sources of the collector write; the scrape, the page, the health report and the levels read
// this memory and nothing else. The package performs no I/O.
package series
