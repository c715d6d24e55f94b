package health

// Probe is what was last seen of a target's probe.
type Probe struct {
	Success                           bool
	Status                            *float64 // absent when no answer came
	DurationSeconds, MaxSeconds       *float64
	StartupSeconds, MaxStartupSeconds *float64
}

// AppValue is a number that the service reports about itself.
type AppValue struct {
	Name  string
	Value float64
}
