package journal

import "time"

// The number of records that Query returns.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Filter chooses records. An empty field chooses all.
type Filter struct {
	Since, Until time.Time // Since <= Time < Until
	Target       string
	Playbook     string
	Outcome      string // "open" chooses intents without a result
	RunID        string
	Limit        int    // default DefaultLimit, at most MaxLimit
	After        string // the next of an earlier page: only older records
}

// OutcomeOpen is what Filter.Outcome calls an intent without a result.
const OutcomeOpen = "open"

func (f *Filter) matches(r *Record) bool {
	outcome := r.Outcome
	if outcome == "" {
		outcome = OutcomeOpen
	}
	return (f.Target == "" || f.Target == r.Target) &&
		(f.Playbook == "" || f.Playbook == r.Playbook) &&
		(f.Outcome == "" || f.Outcome == outcome) &&
		(f.RunID == "" || f.RunID == r.RunID) &&
		(f.Since.IsZero() || !r.Time.Before(f.Since)) &&
		(f.Until.IsZero() || r.Time.Before(f.Until))
}

// Query returns records, newest first. next, when it is not "", is the After of the following
// page. A record that cannot be read ends the query with an error and what was found before it.
func (j *Journal) Query(f Filter) (records []Record, next string, err error) {
	if f.Limit <= 0 {
		f.Limit = DefaultLimit
	}
	f.Limit = min(f.Limit, MaxLimit)
	// An id is never before the time of its record, so older ids cannot match.
	// Before 1970 there are none; before 1678 UnixNano is undefined.
	oldest := ""
	if f.Since.After(time.Unix(0, 0)) {
		oldest = formatID(uint64(max(f.Since.UnixNano(), 0)))
	}
	type page struct {
		records []Record
		next    string
	}
	p, err := look(j.store(), func(t tx) (p page, failed error) {
		t.down(f.After, func(id string, v []byte) bool {
			if id < oldest {
				return false
			}
			r, err := decode(id, v)
			if err != nil {
				failed = err
				return false
			}
			if !f.matches(&r) {
				return true
			}
			if len(p.records) == f.Limit {
				p.next = p.records[len(p.records)-1].ID
				return false
			}
			p.records = append(p.records, r)
			return true
		})
		return p, failed
	})
	return p.records, p.next, err
}
