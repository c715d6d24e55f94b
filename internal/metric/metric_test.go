package metric

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// problems returns what is wrong with the names and texts of metrics, by the rules of the Prometheus
// project and by those of this one.
func problems(t *testing.T, descs []*series.Desc, owns []*Own) []string {
	t.Helper()
	var out []string
	reg := prometheus.NewPedanticRegistry()
	register := func(name, help string, c prometheus.Collector) {
		if err := reg.Register(c); err != nil {
			out = append(out, name+": "+err.Error())
		}
		if !strings.HasPrefix(name, Prefix) {
			out = append(out, name+": does not begin with "+Prefix)
		}
		if !strings.HasSuffix(help, ".") || strings.TrimSpace(help) != help || len(help) < 10 {
			out = append(out, name+": the help is not a sentence: "+help)
		}
	}
	for _, d := range descs {
		values := d.Labels // any values will do
		if d.Kind == series.Counter {
			c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.Labels)
			c.WithLabelValues(values...)
			register(d.Name, d.Help, c)
		} else {
			g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.Name, Help: d.Help}, d.Labels)
			g.WithLabelValues(values...)
			register(d.Name, d.Help, g)
		}
	}
	for _, o := range owns {
		switch o.Kind {
		case Counter:
			c := o.NewCounterVec()
			c.WithLabelValues(o.Labels...)
			register(o.Name, o.Help, c)
		case Gauge:
			g := o.NewGaugeVec()
			g.WithLabelValues(o.Labels...)
			register(o.Name, o.Help, g)
		case Histogram:
			h := o.NewHistogramVec(prometheus.HistogramOpts{})
			h.WithLabelValues(o.Labels...)
			register(o.Name, o.Help, h)
		default:
			out = append(out, o.Name+": is of the unknown kind "+o.Kind)
		}
	}
	lint, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range lint {
		out = append(out, p.Metric+": "+p.Text)
	}
	return out
}

func TestNamesAndTexts(t *testing.T) {
	for _, p := range problems(t, Descs(), Owns()) {
		t.Error(p)
	}
	if len(Descs()) < 90 || len(Owns()) < 40 {
		t.Errorf("only %d and %d metrics: the lists are cut short", len(Descs()), len(Owns()))
	}
}

// The check above must be able to fail.
func TestNamesAndTextsCatch(t *testing.T) {
	f := func(name, want string, descs []*series.Desc, owns ...*Own) {
		t.Helper()
		got := problems(t, descs, owns)
		if len(got) == 0 || !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	good := series.NewGauge("spillway_memory_used_bytes", "Used memory.", "target")
	if got := problems(t, []*series.Desc{good}, nil); len(got) > 0 {
		t.Errorf("nothing is wrong, got %q", got)
	}
	f("twice", "duplicate", []*series.Desc{good, good})
	f("twice, elsewhere", "duplicate", []*series.Desc{good}, &Own{good.Name, good.Help, Gauge, good.Labels})
	f("another label", "different label names", []*series.Desc{good}, &Own{good.Name, good.Help, Gauge, []string{"name"}})
	f("counter", "_total", []*series.Desc{series.NewCounter("spillway_runs", "Runs so far.")})
	f("gauge", "_total", []*series.Desc{series.NewGauge("spillway_runs_total", "Runs so far.")})
	f("unit", "base unit", nil, &Own{"spillway_age_minutes", "Age of a file.", Gauge, nil})
	f("prefix", "begin", nil, &Own{"other_age_seconds", "Age of a file.", Gauge, nil})
	f("no sentence", "sentence", nil, &Own{"spillway_age_seconds", "Age of a file", Gauge, nil})
	f("kind", "unknown kind", nil, &Own{"spillway_age_seconds", "Age of a file.", "summary", nil})
}

func TestOwnOfAnotherKind(t *testing.T) {
	for name, make := range map[string]func(){
		"gauge of a counter":      func() { ActionRuns.NewGaugeVec() },
		"histogram of a gauge":    func() { JournalSize.NewHistogram(prometheus.HistogramOpts{}) },
		"labels that are not set": func() { ActionRuns.NewCounter() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: made all the same", name)
				}
			}()
			make()
		}()
	}
}
