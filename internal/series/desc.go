package series

// MaxLabels is the largest number of labels that a Desc may have.
const MaxLabels = 7

// Kind is the metric type of a series.
type Kind uint8

// The kinds of series.
const (
	Gauge   Kind = iota // a value that goes up and down
	Counter             // a running total since the exporter started
)

// Desc defines a family of series once: it keys the rings and is the metric at /metrics.
// Descs are package variables of internal/metric and are compared by pointer.
type Desc struct {
	Name   string   // metric name with its base unit: spillway_memory_resident_bytes
	Help   string   // one sentence for /metrics and the metrics reference
	Kind   Kind     // gauge or counter
	Labels []string // label names, at most MaxLabels, in the order of the values
	Window bool     // keep rings of the past, for sparklines, trend and window statistics
}

// NewGauge returns the Desc of a gauge.
func NewGauge(name, help string, labels ...string) *Desc {
	return newDesc(name, help, Gauge, labels)
}

// NewCounter returns the Desc of a counter.
func NewCounter(name, help string, labels ...string) *Desc {
	return newDesc(name, help, Counter, labels)
}

func newDesc(name, help string, kind Kind, labels []string) *Desc {
	if len(labels) > MaxLabels {
		panic("series: " + name + " has more labels than MaxLabels")
	}
	return &Desc{Name: name, Help: help, Kind: kind, Labels: labels}
}

// Windowed makes the Desc keep rings and returns it.
func (d *Desc) Windowed() *Desc {
	d.Window = true
	return d
}
