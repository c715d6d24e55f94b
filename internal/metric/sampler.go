package metric

// The sampler and the store that it fills.
var (
	SamplerTicks    = &Own{"spillway_sampler_ticks_total", "Sampler sweeps over the sources of a lane.", Counter, nil}
	SamplerMissed   = &Own{"spillway_sampler_ticks_missed_total", "Sweeps skipped because the previous one took longer than the interval.", Counter, nil}
	SamplerDuration = &Own{"spillway_sampler_tick_duration_seconds", "Duration of the sampler's sweeps.", Histogram, nil}
	SamplerInterval = &Own{"spillway_sampler_interval_seconds", "Current interval of a lane: shorter while a target is under pressure, longer to keep a scan within its budget.", Gauge, []string{"lane"}}
	SamplerWakes    = &Own{"spillway_sampler_wakes_total", "Readings of a target's memory or heap between two sweeps, by reason.", Counter, []string{"reason"}}
	StoreSeries     = &Own{"spillway_series", "Series held in memory, including those that are currently absent.", Gauge, nil}
	StoreDropped    = &Own{"spillway_series_dropped_total", "Values dropped because the series limit was reached.", Counter, nil}
)

var samplerOwns = []*Own{
	SamplerTicks, SamplerMissed, SamplerDuration, SamplerInterval, SamplerWakes, StoreSeries, StoreDropped,
}
