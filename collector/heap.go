package collector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const heapReadTimeout = 2 * time.Second

// HeapReader is what the source reads; *heap.Client is one. A reader that is an io.Closer is
// closed with the source.
type HeapReader interface {
	heap.Reader
	Runtime() string
}

// HeapOptions configure a Heap. Target and Reader are required.
type HeapOptions struct {
	Target string
	Reader HeapReader
	// Running, when set, reports whether the target has live processes at present: an address at
	// which nothing listens is then absent instead of failed while it has none.
	Running func() bool
	Timeout time.Duration    // of one reading; default 2s
	Now     func() time.Time // default time.Now

	Thresholds series.Thresholds
	Interval   time.Duration // the usual sample interval; default 5s
	// Costly says that no reading is taken but those of the sweeps: each leaves a trace at the target,
	// or has nothing new to say.
	Costly bool
}

// Heap is the Source of one target's heap.
type Heap struct {
	opts     HeapOptions
	patience patience

	mu       sync.Mutex
	leveller series.Leveller
	distance distance
	limit    float64 // bytes; 0 = not known
	crossing Crossing
}

// NewHeap returns the source; nothing is opened before the first sample.
func NewHeap(o HeapOptions) *Heap {
	if o.Timeout <= 0 {
		o.Timeout = heapReadTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Interval <= 0 {
		o.Interval = 5 * time.Second
	}
	return &Heap{opts: o, leveller: series.NewLeveller(series.LevelNormal, o.Interval/hurryFactor)}
}

// Sample implements Source. A target that is busy has nothing to read for the first 30 s, then the
// source fails until it answers. A target that nothing listens for fails the source at once, since
// someone configured it, unless it does not run.
func (h *Heap) Sample(ctx context.Context, b *series.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, h.opts.Timeout)
	defer cancel()
	began := h.opts.Now()
	u, err := h.opts.Reader.Read(ctx)
	h.publish(b, u) // a reading that failed in part has the rest
	h.note(b.Time, h.opts.Now().Sub(began), u)
	if err != nil {
		return h.judge(err)
	}
	h.patience.end()
	return nil
}

func (h *Heap) publish(b *series.Batch, u heap.Usage) {
	runtime := h.opts.Reader.Runtime()
	set := func(d *series.Desc, a heap.Amount) {
		if a.OK {
			b.Set(d, float64(a.Bytes), h.opts.Target, runtime)
		}
	}
	set(metric.HeapUsed, u.Used)
	set(metric.HeapLive, u.Live)
	set(metric.HeapCommitted, u.Committed)
	set(metric.HeapLimit, u.Limit)
	if u.Running > 0 {
		b.Set(metric.HeapRead, float64(u.Read), h.opts.Target, runtime)
		b.Set(metric.HeapProcesses, float64(u.Running), h.opts.Target, runtime)
	}
	if ratio, ok := u.Ratio(); ok {
		b.Set(metric.HeapUsedRatio, ratio, h.opts.Target, runtime)
	}
}

// note takes a reading into the level and the distance.
func (h *Heap) note(at time.Time, took time.Duration, u heap.Usage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ratio, ok := u.JudgedRatio()
	if !ok {
		h.limit = 0
		h.distance.reset()
		return
	}
	h.limit = float64(u.Limit.Bytes)
	h.distance.note(at, exactly(float64(u.Judged().Bytes)))
	h.distance.spent(took)
	before := h.leveller.Level()
	if after := h.leveller.Update(h.opts.Thresholds, ratio, at); after != before {
		h.crossing = Crossing{Target: h.opts.Target, Signal: SignalHeap, From: before, To: after, At: at}
	}
}

// within returns how soon the next reading is due, at the latest after the usual interval.
func (h *Heap) within(interval time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.opts.Costly || h.limit <= 0 {
		return interval
	}
	left := wayTo(h.opts.Thresholds, h.distance.value, h.limit)
	return h.distance.within(left, interval, h.leveller.Rising(), heapAllowance).next
}

// crossed returns the change of level that was not reported yet.
func (h *Heap) crossed() (c Crossing, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, h.crossing = h.crossing, Crossing{}
	return c, c.From != c.To
}

func (h *Heap) judge(err error) error {
	if errors.Is(err, heap.ErrBusy) {
		return h.patience.busy(h.opts.Now(), err)
	}
	h.patience.end()
	away := h.opts.Running != nil && !h.opts.Running()
	if errors.Is(err, heap.ErrNoProcess) || errors.Is(err, heap.ErrUnreachable) && away {
		return fmt.Errorf("the target does not run: %w", ErrAbsent)
	}
	return fmt.Errorf("read heap: %w", err)
}

// Close implements io.Closer.
func (h *Heap) Close() error { return closeReader(h.opts.Reader) }
