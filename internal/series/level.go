package series

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
	levelUpSamples   = 3    // samples at or above a threshold before the level rises
	levelDownSamples = 5    // samples below it, less the margin, before it falls
	levelDownMargin  = 0.05 // five points of hysteresis
)

// Leveller turns ratios into a level with hysteresis: up after 3 samples at or above a
// threshold (1 for emergency), down after 5 samples below threshold less 5 points. The zero
// value is at LevelNormal.
type Leveller struct {
	level    Level
	up, down int
	upTo     Level // the lowest level reached by all samples of the present run upwards
	downTo   Level // the highest level justified by the present run downwards
}

// NewLeveller returns a Leveller that is at level already, as after a reload.
func NewLeveller(level Level) Leveller { return Leveller{level: level} }

// Level returns the present level.
func (l *Leveller) Level() Level { return l.level }

// Update takes the next ratio and returns the level after it.
func (l *Leveller) Update(t Thresholds, ratio float64) Level {
	now := t.Of(ratio)
	if now == LevelEmergency {
		l.level, l.up, l.down = LevelEmergency, 0, 0
		return l.level
	}
	if now > l.level {
		if l.up == 0 || now < l.upTo {
			l.upTo = now
		}
		if l.up++; l.up >= levelUpSamples {
			l.level, l.up = l.upTo, 0
		}
		l.down = 0
		return l.level
	}
	l.up = 0
	if l.level == LevelNormal || ratio >= t.start(l.level)-levelDownMargin {
		l.down = 0
		return l.level
	}
	// The level that this sample would still hold, seen with the margin.
	hold := LevelNormal
	for c := LevelWarning; c < l.level; c++ {
		if ratio >= t.start(c)-levelDownMargin {
			hold = c
		}
	}
	if l.down == 0 || hold > l.downTo {
		l.downTo = hold
	}
	if l.down++; l.down >= levelDownSamples {
		l.level, l.down = l.downTo, 0
	}
	return l.level
}
