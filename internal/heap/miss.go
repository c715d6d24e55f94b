package heap

import "time"

const (
	memberIdle     = 15 * time.Minute // above the longest sample interval
	firstLookAgain = time.Second
	lastLookAgain  = time.Minute
)

// miss is a process that was looked at and cannot be read. It is looked at again after a second,
// then after twice that and so on: a shell may become what is read, and most shells do not.
type miss struct {
	err  error
	next time.Time // it is not looked at again before
	wait time.Duration
}

// look calls f when it is time to, and returns its error or the last one.
func (m *miss) look(now time.Time, f func() error) error {
	if m.err != nil && now.Before(m.next) {
		return m.err
	}
	if m.err = f(); m.err == nil {
		*m = miss{}
		return nil
	}
	m.wait = min(max(2*m.wait, firstLookAgain), lastLookAgain)
	m.next = now.Add(m.wait)
	return m.err
}
