package eval

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// epoch is when the tests' time begins.
var epoch = time.UnixMilli(1_700_000_000_000)

// point is one series with its present value.
type point struct {
	name   string
	labels []string // name, value, name, value ...
	value  float64
}

// world is what the evaluator gathers: the test sets it.
type world struct {
	points []point
	err    error
}

func (w *world) Gather() ([]*dto.MetricFamily, error) {
	byName := make(map[string]*dto.MetricFamily)
	var out []*dto.MetricFamily
	for _, p := range w.points {
		f := byName[p.name]
		if f == nil {
			f = &dto.MetricFamily{Name: &p.name, Type: dto.MetricType_GAUGE.Enum()}
			byName[p.name] = f
			out = append(out, f)
		}
		m := &dto.Metric{Gauge: &dto.Gauge{Value: &p.value}}
		for i := 0; i < len(p.labels); i += 2 {
			m.Label = append(m.Label, &dto.LabelPair{Name: &p.labels[i], Value: &p.labels[i+1]})
		}
		f.Metric = append(f.Metric, m)
	}
	return out, w.err
}

func (w *world) set(points ...point) { w.points = points }

// inbox is what was submitted.
type inbox struct {
	mu      sync.Mutex
	batches []alert.Batch
	err     error
}

func (i *inbox) submit(_ context.Context, b alert.Batch) ([]alert.Disposition, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != nil {
		return nil, i.err
	}
	i.batches = append(i.batches, b)
	return make([]alert.Disposition, len(b.Alerts)), nil
}

// take returns what was submitted since the last call, as "status name".
func (i *inbox) take() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	var out []string
	for _, b := range i.batches {
		for _, a := range b.Alerts {
			out = append(out, string(a.Status)+" "+a.Name())
		}
	}
	i.batches = nil
	return out
}

// blob is a StateStore in memory.
type blob struct {
	data []byte
	puts int
	err  error
}

func (b *blob) Get() ([]byte, error) { return b.data, nil }

func (b *blob) Put(data []byte) error {
	if b.err != nil {
		return b.err
	}
	b.data, b.puts = slices.Clone(data), b.puts+1
	return nil
}

func mustLoad(t testing.TB, text string) *Ruleset {
	t.Helper()
	r, err := Load(LoadOptions{Bundle: []File{{Name: "test.yml", Content: []byte(text)}}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// bench is an evaluator with its surroundings.
type rig struct {
	*Evaluator
	world *world
	inbox *inbox
	reg   *prometheus.Registry
	base  time.Time // when the test's time begins
	now   time.Time
}

func newRig(t testing.TB, r *Ruleset, change func(*Options)) *rig {
	t.Helper()
	g := &rig{world: &world{}, inbox: &inbox{}, reg: prometheus.NewRegistry(), base: epoch, now: epoch}
	o := Options{
		Gatherer: g.world, Rules: r, Submit: g.inbox.submit, Registerer: g.reg,
		Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return g.now },
	}
	if change != nil {
		change(&o)
	}
	g.Evaluator = New(o)
	return g
}

// at evaluates at a time after the base.
func (g *rig) at(t testing.TB, after time.Duration) {
	t.Helper()
	g.now = g.base.Add(after)
	if err := g.Evaluate(t.Context(), g.now); err != nil {
		t.Fatalf("at %v: %v", after, err)
	}
}

// states returns "name state" of all alerts.
func (g *rig) states() []string {
	var out []string
	for _, a := range g.Alerts() {
		out = append(out, a.Name+" "+a.State)
	}
	return out
}
