package trend

import (
	"fmt"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Sentences says in words what an outlook comes to. Nothing is said of what does not grow.
func (o *Outlook) Sentences(now time.Time) []string {
	var out []string
	if o.Growing && o.PerSecond > 0 {
		text := "It grows by " + perHour(o.PerSecond) + ", judged by the same time of day on other days"
		if !o.At.IsZero() {
			text = fmt.Sprintf("It grows by %s and reaches its limit %s", perHour(o.PerSecond), o.When(now))
		}
		out = append(out, text+".")
	}
	if b := &o.Build; !b.Since.IsZero() && b.Now.Known && b.Before.Known {
		since := "the build of " + dayOf(b.Since, now)
		switch {
		case b.Now.leaks() && b.Before.leaks():
			out = append(out, fmt.Sprintf("Since %s it leaks %s, before it leaked %s.", since, perHour(b.Now.PerSecond), perHour(b.Before.PerSecond)))
		case b.Now.leaks():
			out = append(out, fmt.Sprintf("Since %s it leaks %s, before it did not.", since, perHour(b.Now.PerSecond)))
		case b.Before.leaks():
			out = append(out, fmt.Sprintf("Since %s it no longer leaks, before it leaked %s.", since, perHour(b.Before.PerSecond)))
		}
	}
	return out
}

func (r *Rate) leaks() bool { return r.Growing && r.PerSecond > 0 }

// When says when the limit is reached: "on Tuesday about 03:40 (between 02:50 and 05:10)".
func (o *Outlook) When(now time.Time) string {
	at := o.At.UTC()
	text := fmt.Sprintf("on %s about %s", dayOf(at, now), at.Format("15:04 MST"))
	early, late := o.Earliest.UTC(), o.Latest.UTC()
	switch {
	case o.Latest.IsZero():
		return text + fmt.Sprintf(" (%s at the earliest)", moment(early, at, now))
	case early.Equal(late):
		return text
	}
	return text + fmt.Sprintf(" (between %s and %s)", moment(early, at, now), moment(late, at, now))
}

// moment leaves out the day where it is that of another moment.
func moment(t, other, now time.Time) string {
	if t.Format(time.DateOnly) == other.Format(time.DateOnly) {
		return t.Format("15:04")
	}
	return dayOf(t, now) + " " + t.Format("15:04")
}

// dayOf names a day: by its name within the week, else by its date.
func dayOf(t, now time.Time) string {
	t = t.UTC()
	if t.Sub(now).Abs() < 6*day*time.Hour {
		return t.Weekday().String()
	}
	return t.Format("2 January")
}

func perHour(perSecond float64) string { return units.Bytes(perSecond*3600).String() + "/h" }
