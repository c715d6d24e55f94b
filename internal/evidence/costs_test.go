package evidence

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// priced is a target of which captures take so long as took says, by a clock that the test moves.
type priced struct {
	t     *testing.T
	k     *Keeper
	q     Request
	now   time.Time
	took  time.Duration
	asked int
}

func newPriced(t *testing.T) *priced {
	t.Helper()
	p := &priced{t: t, now: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)}
	p.k = newKeeper(func(o *KeeperOptions) { o.Now = func() time.Time { return p.now } })
	p.q = Request{Provider: heap.ProviderNode, Config: config(t, func(c *Config) { c.PerHour = mostPerHour }), Room: room(wide), Process: Process{Target: "t", Heap: heapFunc(func(context.Context, bool) (heap.Snapshot, error) {
		p.asked++
		return heap.Snapshot{Data: []byte(answers[heap.ProviderNode]), Epoch: "1", Took: p.took}, nil
	})}}
	return p
}

// after captures when some time has gone by: want is the reason for which it is skipped, "" when it is captured.
func (p *priced) after(pass time.Duration, want string) Taken {
	p.t.Helper()
	p.now = p.now.Add(pass)
	before := p.asked
	got := p.k.Capture(p.t.Context(), p.q)
	if got.Skip != want || (got.Outcome == Captured) != (want == "") || (p.asked > before) != (want == "") {
		p.t.Errorf("after %s: %+v, want %q", pass, got, want)
	}
	return got
}

// TestMeasuredPriceHolds: what a capture has cost on this target decides on the next, and grows with the heap.
func TestMeasuredPriceHolds(t *testing.T) {
	p := newPriced(t)
	p.took = 400 * time.Millisecond
	p.after(0, "")
	p.after(0, SkipRest)
	p.q.ByHand = true
	p.after(0, SkipRest)
	p.q.ByHand = false
	if got := p.after(restBetween, SkipPause); !strings.Contains(got.Detail, "600ms") || !strings.Contains(got.Detail, "which counts until 2026-01-02 03:15") {
		t.Errorf("%+v, want that 1.5 times the 400ms of the last one are too much, and until when that counts", got)
	}
	p.q.Process.Target = "u" // another target
	p.after(0, "")
	p.q.Process.Target, p.took = "t", 100*time.Millisecond
	p.after(newestFor, "")
	grown := wide
	grown.Used = 10 * wide.Used
	p.q.Room = room(grown)
	p.after(restBetween, SkipPause)
}

// TestSkippedSaysWhatWasFound: a capture that is skipped because there was one says what that one has found.
func TestSkippedSaysWhatWasFound(t *testing.T) {
	p := newPriced(t)
	size := 1
	p.q.Process.Heap = heapFunc(func(context.Context, bool) (heap.Snapshot, error) {
		p.asked++
		size *= 10
		return heap.Snapshot{Data: []byte(strings.ReplaceAll(answers[heap.ProviderNode], "1048576", fmt.Sprint(size<<20))), Epoch: "1", Took: time.Millisecond}, nil
	})
	p.after(0, "")
	p.after(2*restBetween, "")
	if got := p.after(time.Second, SkipRest); !strings.Contains(got.Detail, "capture again in 29s; the capture of 03:01 found +90MiB since 03:00: f ") {
		t.Errorf("%q, want what the capture before it has found", got.Detail)
	}
}

// TestSlowMomentPasses: one slow capture, at a moment when the host was busy, does not rule the rung out for a day.
func TestSlowMomentPasses(t *testing.T) {
	p := newPriced(t)
	p.took = 900 * time.Millisecond
	p.after(0, "") // the first one of all
	p.took = 60 * time.Millisecond
	p.after(newestFor-time.Minute, SkipPause)
	p.after(2*time.Minute, "")
	p.after(time.Minute, "")
	p.took = 900 * time.Millisecond // amid quick ones
	p.after(time.Hour, "")
	p.took = 60 * time.Millisecond
	p.after(newestFor-time.Minute, SkipPause)
	p.after(2*time.Minute, "")
	p.after(time.Minute, "")
}

// TestSlowTargetIsLeftAlone: where each capture is slow, it is tried more and more rarely.
func TestSlowTargetIsLeftAlone(t *testing.T) {
	p := newPriced(t)
	p.took = 900 * time.Millisecond
	p.after(0, "")
	for _, held := range []time.Duration{newestFor, 2 * newestFor, 4 * newestFor, 8 * newestFor, 16 * newestFor, 32 * newestFor, 64 * newestFor, measuredFor, measuredFor, measuredFor} {
		p.after(held-time.Second, SkipPause)
		p.after(2*time.Second, "")
	}
	if p.asked != 11 {
		t.Errorf("asked %d times", p.asked)
	}
	p.took = 60 * time.Millisecond
	p.after(measuredFor+time.Second, "") // it is quick again
	p.after(time.Minute, "")
}

// TestUnreadMemoryDoesNotAddUp: where the memory of a capture cannot be read, its price stays what it was.
func TestUnreadMemoryDoesNotAddUp(t *testing.T) {
	r := Of(heap.ProviderNode)[0]
	want := r.Worst.At(wide.Used).Bytes
	p := newPriced(t)
	p.took = 60 * time.Millisecond
	for range 10 {
		p.after(time.Hour, "")
		if price, _ := r.PriceOf(wide.Used, p.now, p.k.costs(p.q, &r)); price.Bytes < want-10 || price.Bytes > want {
			t.Fatalf("%d, want %d", price.Bytes, want)
		}
	}
}

// TestPriceOfAGrownHeap: what was measured on a small heap says little of a large one, and the other way round.
func TestPriceOfAGrownHeap(t *testing.T) {
	r := Of(heap.ProviderNode)[0]
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	f := func(name string, last Measured, used units.Bytes, low, high time.Duration) {
		t.Helper()
		last.At = now
		if p, _ := r.PriceOf(used, now, []Measured{last}); p.Pause < low || p.Pause > high || p.Bytes < leastBytes {
			t.Errorf("%s: %+v, want %s to %s", name, p, low, high)
		}
	}
	f("as it was", Measured{Pause: 100 * time.Millisecond, Used: 100 << 20}, 100<<20, 150*time.Millisecond, 150*time.Millisecond)
	f("smaller", Measured{Pause: 100 * time.Millisecond, Used: 100 << 20}, 10<<20, 150*time.Millisecond, 150*time.Millisecond)
	f("a small heap that has grown", Measured{Pause: 100 * time.Millisecond, Used: 5 << 20}, 205<<20, 550*time.Millisecond, 600*time.Millisecond)
	f("a quick one that has doubled", Measured{Pause: 50 * time.Millisecond, Used: 400 << 20}, 800<<20, 150*time.Millisecond, 150*time.Millisecond)
	f("unknown then", Measured{Pause: 100 * time.Millisecond}, 200<<20, 550*time.Millisecond, 600*time.Millisecond)
}

// TestUnknownIsReckonedWith: after a capture whose end was not seen, the next is not taken for an hour, and then for longer.
func TestUnknownIsReckonedWith(t *testing.T) {
	p := newPriced(t)
	p.q.Process.Heap = heapFunc(func(context.Context, bool) (heap.Snapshot, error) {
		p.asked++
		return heap.Snapshot{}, errors.Join(heap.ErrProfileUnknown, context.DeadlineExceeded)
	})
	lost := func(pass time.Duration) {
		t.Helper()
		p.now = p.now.Add(pass)
		if got := p.k.Capture(t.Context(), p.q); got.Outcome != Unknown {
			t.Fatalf("%+v", got)
		}
		p.k.mu.Lock() // it took two seconds
		past := p.k.cost[rungOf{"t", heap.ProviderNode, RungSampling}]
		past[len(past)-1].Pause = leastTimeout
		p.k.mu.Unlock()
	}
	lost(0)
	p.after(restBetween, SkipPause)
	p.after(lostFor-restBetween-time.Second, SkipPause)
	lost(2 * time.Second)
	p.after(2*lostFor-time.Second, SkipPause)
	p.q.Process.Heap = newPriced(t).q.Process.Heap
	p.now = p.now.Add(2 * time.Second)
	if got := p.k.Capture(t.Context(), p.q); got.Outcome != Captured {
		t.Errorf("two hours later: %+v", got)
	}
}
