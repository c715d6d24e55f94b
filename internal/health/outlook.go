package health

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/trend"
)

// Outlook is what the same time of day on other days says of the memory of a target. Times are in RFC 3339.
type Outlook struct {
	Text       []string `json:"text"` // sentences
	Confidence float64  `json:"confidence"`
	Reaches    string   `json:"reaches_limit,omitempty"` // when; absent where it is beyond 60 days
	Earliest   string   `json:"earliest,omitempty"`
	Latest     string   `json:"latest,omitempty"`
}

// OutlookOf returns what an outlook says; nil where it says nothing.
func OutlookOf(o *trend.Outlook, now time.Time) *Outlook {
	text := o.Sentences(now)
	if len(text) == 0 {
		return nil
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	return &Outlook{Text: text, Confidence: o.Confidence, Reaches: at(o.At), Earliest: at(o.Earliest), Latest: at(o.Latest)}
}

// Unproven reports whether what grows may be the rhythm of the day: two days of one start are not there yet.
func (t *Target) Unproven() bool {
	sure, ok := known(t.GrowthSure)
	return ok && sure < trend.Sure
}
