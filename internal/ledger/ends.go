package ledger

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

const (
	mostEnds   = 100
	lookBack   = time.Hour        // before an end, for the growth
	lastKnown  = 10 * time.Minute // a reading before the last process ended counts as the last for so long
	leastApart = 10 * time.Second // between two readings of which a growth is made
)

// memoryReading is what a record says of memory: "memory 3.7GiB of 4GiB (91.2%)".
var memoryReading = regexp.MustCompile(`^memory [^()]* of [^()]* \(([0-9]+(?:\.[0-9]+)?)%\)`)

// MemoryRatio reads the share of its limit from the text of a record; false where it says nothing of memory.
func MemoryRatio(text string) (float64, bool) {
	m := memoryReading.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	percent, err := strconv.ParseFloat(m[1], 64)
	return percent / 100, err == nil
}

// passesOn reports whether the intent of a step says that it runs whatever was reached.
func passesOn(intent string) bool {
	return strings.Contains(intent, "(run: if_removed)") || strings.Contains(intent, "(run: always)")
}

// read takes in what a record says of memory, and ends of the service.
func (t *target) read(r *journal.Record) {
	ratio, known := MemoryRatio(r.Before)
	if isEnd(r) && len(t.ends) < mostEnds {
		t.ends = append(t.ends, &ending{End: End{Time: r.Time, Ratio: ratio}, known: known})
		return
	}
	if !known || len(t.ends) == 0 {
		return
	}
	e := t.ends[len(t.ends)-1] // the nearest
	before := e.Time.Sub(r.Time)
	switch {
	case before < 0, before > lookBack:
	case !e.known:
		e.Ratio, e.known = ratio, before <= lastKnown
	case before >= leastApart && ratio < e.Ratio:
		e.Growth = max(e.Growth, (e.Ratio-ratio)/before.Seconds())
	}
}

// isEnd reports whether a record is one of an end of the service.
func isEnd(r *journal.Record) bool {
	switch {
	case r.Step == 0:
		return alert.Trigger(r.Trigger) == alert.TriggerExit
	case r.Action != actionRestart || r.Mode != modeEnforce:
		return false
	}
	return r.Outcome == done || r.Outcome == partial || r.Outcome == unknown
}
