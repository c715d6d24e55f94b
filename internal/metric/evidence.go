package metric

// Evidence that is captured of what holds the memory of targets.
var (
	EvidenceCaptures = &Own{"spillway_evidence_captures_total", "Captures of what holds a target's memory, by outcome.", Counter, []string{"target", "runtime", "outcome"}}
	EvidencePause    = &Own{"spillway_evidence_pause_seconds", "Time until the target had answered a capture, which is the longest that it can have paused for it.", Histogram, []string{"runtime"}}
)

var evidenceOwns = []*Own{EvidenceCaptures, EvidencePause}
