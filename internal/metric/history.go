package metric

// The history of two weeks.
var (
	HistorySize     = &Own{"spillway_history_size_bytes", "Bytes of the history that hold values.", Gauge, nil}
	HistorySeries   = &Own{"spillway_history_series", "Series in the last five minutes that the history has.", Gauge, nil}
	HistoryDamaged  = &Own{"spillway_history_damaged_parts_total", "Parts of the history that were dropped because they were damaged.", Counter, nil}
	HistoryFailures = &Own{"spillway_history_append_failures_total", "Attempts to add to the history that failed, such as on a full disk.", Counter, nil}
	HistoryWritten  = &Own{"spillway_history_last_append_timestamp_seconds", "Unix time of the last successful addition to the history; absent before the first.", Gauge, nil}
)

var historyOwns = []*Own{
	HistorySize, HistorySeries, HistoryDamaged, HistoryFailures, HistoryWritten,
}
