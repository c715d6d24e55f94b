package metric

// The journal of what was done.
var (
	JournalCommitDuration = &Own{"spillway_journal_commit_duration_seconds", "Duration of one synced write to the journal, which may hold many records.", Histogram, nil}
	JournalSize           = &Own{"spillway_journal_size_bytes", "Bytes of the journal that hold records, as last counted.", Gauge, nil}
	JournalWritable       = &Own{"spillway_journal_writable", "Whether the last write to the journal succeeded; while it is 0 no action runs.", Gauge, nil}
	JournalDurable        = &Own{"spillway_journal_durable", "Whether the journal outlives the process; while it is 0 only dry runs are allowed.", Gauge, nil}
)

var journalOwns = []*Own{
	JournalCommitDuration, JournalSize, JournalWritable, JournalDurable,
}
