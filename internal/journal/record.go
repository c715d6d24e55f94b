package journal

import "time"

// Record is one line of the audit trail: the intent of one step of a playbook, written and
// synced before its first effect, and completed in place with the result.
type Record struct {
	ID           string           `json:"id"` // sorts by time
	RunID        string           `json:"run_id"`
	Time         time.Time        `json:"time"` // of the intent
	Target       string           `json:"target"`
	Playbook     string           `json:"playbook"`
	Step         int              `json:"step"`   // 0 is the run as a whole, 1.. its steps
	Action       string           `json:"action"` // "" for the run as a whole
	Trigger      string           `json:"trigger"`
	Alert        string           `json:"alert,omitempty"` // alertname
	Fingerprint  string           `json:"fingerprint,omitempty"`
	Mode         string           `json:"mode"` // dry_run, propose, enforce
	Intent       string           `json:"intent"`
	Level        string           `json:"level,omitempty"`
	Before       string           `json:"before,omitempty"`
	After        string           `json:"after,omitempty"`
	Files        int64            `json:"files"`
	Bytes        int64            `json:"bytes"`
	FreedBytes   int64            `json:"freed_bytes"`
	LostBytes    int64            `json:"lost_bytes,omitempty"` // written to a log in the moment of its cut, and in no file
	Skipped      map[string]int64 `json:"skipped,omitempty"`
	Outcome      string           `json:"outcome"` // "" while open
	DurationSecs float64          `json:"duration_seconds"`
	Error        string           `json:"error,omitempty"`
	Detail       string           `json:"detail,omitempty"`     // what else there is to say, for people
	Output       string           `json:"output,omitempty"`     // what a command printed or a server answered, at most 64 KiB
	Alerts       int              `json:"alerts,omitempty"`     // of a run: how many alerts it served
	WaitsUntil   time.Time        `json:"waits_until,omitzero"` // of a run that ended waiting: when it goes again
}

// HasPrivate reports whether a record holds what is for authenticated callers only.
func (r *Record) HasPrivate() bool { return r.Output != "" }

// Public returns what everyone may see of a record. shorten is applied to the texts that may hold URLs, as those
// of earlier versions do.
func (r *Record) Public(shorten func(string) string) Record {
	out := *r
	out.Output, out.Intent, out.Error, out.Detail = "", shorten(r.Intent), shorten(r.Error), shorten(r.Detail)
	return out
}

// clip bounds what a record can hold, whatever an action or an alert brought.
func (r *Record) clip() {
	for _, s := range []*string{
		&r.RunID, &r.Target, &r.Playbook, &r.Action, &r.Trigger, &r.Alert, &r.Fingerprint, &r.Mode, &r.Intent,
		&r.Level, &r.Before, &r.After, &r.Outcome, &r.Error, &r.Detail, &r.Output,
	} {
		*s = clipText(*s)
	}
	if len(r.Skipped) > maxReasons {
		total := int64(0)
		for _, n := range r.Skipped {
			total += n
		}
		r.Skipped = map[string]int64{"too_many_reasons": total}
	}
}

// OutcomeInterrupted is the outcome of an intent whose end no one saw: the process ended first.
const OutcomeInterrupted = "interrupted"

// OutcomeUnknown is that of an intent whose end was not seen, and of which Options.Unseen says that it may have had its
// effect.
const OutcomeUnknown = "unknown"
