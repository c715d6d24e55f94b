package series

import "time"

// Level is how near a target is to its limit.
type Level int

// The levels, in order.
const (
	LevelNormal Level = iota
	LevelWarning
	LevelCritical
	LevelEmergency
)

var levelNames = [...]string{"normal", "warning", "critical", "emergency"}

// String returns the name used in labels, logs and JSON.
func (l Level) String() string {
	if l < 0 || int(l) >= len(levelNames) {
		return "unknown"
	}
	return levelNames[l]
}

// ParseLevel reads a name written by String.
func ParseLevel(s string) (Level, bool) {
	for i, name := range levelNames {
		if s == name {
			return Level(i), true
		}
	}
	return 0, false
}

// Thresholds are the ratios at which warning, critical and emergency begin.
type Thresholds struct{ Warning, Critical, Emergency float64 }

// Of returns the level of one ratio, without any memory of the past.
func (t Thresholds) Of(ratio float64) Level {
	switch {
	case ratio >= t.Emergency:
		return LevelEmergency
	case ratio >= t.Critical:
		return LevelCritical
	case ratio >= t.Warning:
		return LevelWarning
	}
	return LevelNormal
}

func (t Thresholds) start(l Level) float64 {
	switch l {
	case LevelEmergency:
		return t.Emergency
	case LevelCritical:
		return t.Critical
	case LevelWarning:
		return t.Warning
	}
	return 0
}

const (
	levelUpSamples   = 2                     // readings at or above a threshold before the level rises
	levelUpApart     = 50 * time.Millisecond // between two of them: closer ones saw the same moment
	levelDownSamples = 5                     // readings below it, less the margin, before it falls
	levelDownMargin  = 0.05                  // five points of hysteresis
)

// Leveller turns ratios into a level with hysteresis: up after 2 readings in a row at or above a
// threshold (1 for emergency), down after 5 readings below threshold less 5 points. However often
// it is read, readings count towards a rise only when they are 50 ms apart, and towards a fall
// when they are a pace apart. The zero value is at LevelNormal, with no pace.
type Leveller struct {
	level Level
	pace  time.Duration
	up    [LevelEmergency]run // by level: readings that reach it, without a break
	down  run
	fall  Level // the highest level that a reading of the present run downwards still holds
}

// run is a number of readings in a row.
type run struct {
	n  int
	at time.Time // of the last that counted
}

// count takes a reading that goes on with the run; one that is too near to the last does not count.
// A clock that was set back makes none wait.
func (r *run) count(at time.Time, apart time.Duration) {
	if since := at.Sub(r.at); r.n == 0 || since >= apart || since < 0 {
		r.n++
		r.at = at
	}
}

// NewLeveller returns a Leveller that is at level already, as after a reload. pace is the time
// from one reading that counts towards a fall to the next.
func NewLeveller(level Level, pace time.Duration) Leveller {
	return Leveller{level: level, pace: pace - pace/10} // a tick is never quite on time
}

// Level returns the present level.
func (l *Leveller) Level() Level { return l.level }

// Rising reports whether a reading has reached a higher level that another one has to confirm.
func (l *Leveller) Rising() bool {
	for c := l.level + 1; c < LevelEmergency; c++ {
		if l.up[c].n > 0 {
			return true
		}
	}
	return false
}

// Update takes the ratio that was read at a time and returns the level after it.
func (l *Leveller) Update(t Thresholds, ratio float64, at time.Time) Level {
	if t.Of(ratio) == LevelEmergency {
		l.set(LevelEmergency)
		return l.level
	}
	for c := l.level + 1; c < LevelEmergency; c++ {
		if ratio < t.start(c) {
			l.up[c] = run{}
			continue
		}
		l.up[c].count(at, levelUpApart)
	}
	for c := LevelCritical; c > l.level; c-- {
		if l.up[c].n >= levelUpSamples {
			l.rise(c)
			return l.level
		}
	}
	if l.level == LevelNormal || ratio >= t.start(l.level)-levelDownMargin {
		l.down = run{}
		return l.level
	}
	// The level that this reading would still hold, seen with the margin.
	hold := LevelNormal
	for c := LevelWarning; c < l.level; c++ {
		if ratio >= t.start(c)-levelDownMargin {
			hold = c
		}
	}
	if l.down.n == 0 || hold > l.fall {
		l.fall = hold
	}
	if l.down.count(at, l.pace); l.down.n >= levelDownSamples {
		l.set(l.fall)
	}
	return l.level
}

// rise goes up to a level. What has been seen of a higher one goes on.
func (l *Leveller) rise(to Level) {
	up := l.up
	l.set(to)
	for c := to + 1; c < LevelEmergency; c++ {
		l.up[c] = up[c]
	}
}

func (l *Leveller) set(to Level) {
	l.level, l.up, l.down = to, [LevelEmergency]run{}, run{}
}
