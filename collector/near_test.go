package collector

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// TestReadingsByDistance: from a standing start, memory that grows to 400 MiB reaches critical within
// two readings of the moment it does, however fast it grows, and few readings are needed for it.
func TestReadingsByDistance(t *testing.T) {
	const limitBytes = 400 * mib
	tests := []struct {
		rate  float64 // MiB per second
		least int     // readings between sweeps until critical
		most  int
	}{
		{5, 20, 260}, {17, 15, 100}, {100, 8, 40}, {400, 3, 20},
	}
	for _, tt := range tests {
		for _, start := range []time.Duration{10 * time.Second, 12300 * time.Millisecond, 14990 * time.Millisecond} {
			t.Run(fmt.Sprintf("%v MiB/s from %s", tt.rate, start), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var m *memory
					c, _ := sampleMemory(t, start+time.Minute+20*time.Second, func(store *series.Store) []*memory {
						m = newMemory(store, "a", limitBytes, func(at time.Duration) float64 {
							return min(40+max(at-start, 0).Seconds()*tt.rate, 399) * mib
						})
						return []*memory{m}
					}, nil)
					crossed := start + time.Duration((.85*400-40)/tt.rate*float64(time.Second))
					at, ok := c.at(series.LevelCritical)
					if !ok {
						t.Fatalf("critical was never reached: %v", c.all)
					}
					late := at.Sub(m.began) - crossed
					fast := m.readings()
					between := 0
					for _, r := range fast {
						if r > start && r <= at.Sub(m.began) {
							between++
						}
					}
					if late < 0 || late > 110*time.Millisecond {
						t.Errorf("critical %s after it was crossed, want two readings, 110 ms at most", late)
					}
					if between < tt.least || between > tt.most {
						t.Errorf("%d readings from the start to critical, want %d to %d", between, tt.least, tt.most)
					}
					for i := 1; i < len(fast); i++ {
						if gap := fast[i] - fast[i-1]; gap < leastGap {
							t.Fatalf("two readings within %s", gap)
						}
					}
					t.Logf("%d readings, critical %s after 85 %%, at %.1f MiB", between, late, m.used(at.Sub(m.began))/mib)
				})
			})
		}
	}
}

// TestFarTargetsAreLeftToTheSweep: what cannot reach a threshold before the next sweep costs nothing.
func TestFarTargetsAreLeftToTheSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m *memory
		sampleMemory(t, 61*time.Second, func(store *series.Store) []*memory {
			m = newMemory(store, "a", 64<<30, func(at time.Duration) float64 { return 10e9 + at.Seconds()*1e6 })
			return []*memory{m}
		}, nil)
		if fast := m.readings(); len(fast) > 0 {
			t.Errorf("%d readings between sweeps, want none: %v", len(fast), fast)
		}
		if len(m.sweeps) != 13 {
			t.Errorf("%d sweeps, want 13", len(m.sweeps))
		}
	})
}

// TestRingsKeepTheirCadenceUnderPressure: twenty readings a second leave the window of the page as
// long as it was.
func TestRingsKeepTheirCadenceUnderPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m *memory
		_, store := sampleMemory(t, 2*time.Minute, func(store *series.Store) []*memory {
			m = newMemory(store, "a", 400*mib, func(at time.Duration) float64 { return (300 + 30*float64(at.Milliseconds()%400)/400) * mib })
			return []*memory{m}
		}, func(s *Sampler, _ *crossings) { // sweeps that something asks for
			for range 20 {
				<-time.After(time.Second)
				s.Kick(func(Job) bool { return true })
			}
		})
		if n := len(m.readings()); n < 1000 {
			t.Errorf("%d readings, want about 20 a second", n)
		}
		for _, d := range []*series.Desc{metric.MemoryUsed, metric.MemoryUsedRatio} {
			points := store.Points(nil, series.TierSample, d, "a")
			for i := 1; i < len(points); i++ {
				if gap := points[i].Time.Sub(points[i-1].Time); gap < 4*time.Second {
					t.Fatalf("two slots of %s are %s apart", d.Name, gap)
				}
			}
			if _, highest, _ := store.Extent(metric.MemoryUsedRatio, "a"); highest < .8 {
				t.Errorf("the window's maximum is %v, want that of the fast readings", highest)
			}
		}
		if v, _, ok := store.Value(metric.MemoryFastGrowth, "a"); !ok || v == 0 {
			t.Errorf("fast growth %v, %v", v, ok)
		}
	})
}

// TestASpikeIsNotCritical: one reading says nothing; emergency needs no second one.
func TestASpikeIsNotCritical(t *testing.T) {
	f := func(name string, ratio float64, length time.Duration, want series.Level) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := sampleMemory(t, 20*time.Second, func(store *series.Store) []*memory {
					return []*memory{newMemory(store, "a", 400*mib, func(at time.Duration) float64 {
						if at >= 5*time.Second && at < 5*time.Second+length {
							return ratio * 400 * mib
						}
						return 200 * mib
					})}
				}, nil)
				var reached series.Level
				for _, x := range c.all {
					reached = max(reached, x.To)
				}
				if reached != want {
					t.Errorf("%v of %v for %s: %v, want %v", name, ratio, length, reached, want)
				}
			})
		})
	}
	f("one reading", .90, 40*time.Millisecond, series.LevelNormal)
	f("two readings", .90, 90*time.Millisecond, series.LevelCritical)
	f("one reading at emergency", .96, 40*time.Millisecond, series.LevelEmergency)
}

// TestLevelFallsAsBefore: five readings a second apart, below the threshold less five points.
func TestLevelFallsAsBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m *memory
		down := 10 * time.Second
		c, _ := sampleMemory(t, 40*time.Second, func(store *series.Store) []*memory {
			m = newMemory(store, "a", 400*mib, func(at time.Duration) float64 {
				if at >= down {
					return .60 * 400 * mib
				}
				return .72 * 400 * mib
			})
			return []*memory{m}
		}, nil)
		last := c.all[len(c.all)-1]
		took := last.At.Sub(m.began) - down
		if last.To != series.LevelNormal || took < 3500*time.Millisecond || took > 6*time.Second {
			t.Errorf("%v after %s, want normal after 4 to 6 s: %v", last.To, took, c.all)
		}
	})
}

// TestWakeReads: a wake reads at once, 50 ms apart at the least, confirms a level that has not changed,
// and is counted by its reason.
func TestWakeReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m *memory
		s, store, _, reg := newTestSampler(t)
		m = newMemory(store, "a", 64<<30, func(time.Duration) float64 { return 50 << 30 })
		c := &crossings{store: store}
		s.opts.Crossed = c.note
		s.lanes = append(s.lanes, newLane(s, Lane{Name: "process", Interval: 5 * time.Second, Jobs: []Job{{Source: "process", Target: "a", Impl: m}}}))
		s.Wake("a", WakePressure) // before it is started, of a target that it does not know yet
		s.Start(t.Context())
		<-s.Ready()
		<-time.After(11 * time.Second)
		before := len(m.readings())
		c.mu.Lock()
		c.all = nil
		c.mu.Unlock()
		woke := time.Now()
		for range 100 {
			s.Wake("a", WakeMemoryEvents)
			s.Wake("no such target", WakeThreshold)
		}
		synctest.Wait()
		fast := m.readings()[before:]
		if len(fast) != 1 || m.began.Add(fast[0]).Sub(woke) > leastGap {
			t.Errorf("readings after a hundred wakes at once: %v, want one, at once", fast)
		}
		if all := c.sofar(); len(all) != 1 || all[0].From != series.LevelWarning || all[0].To != series.LevelWarning || all[0].Signal != SignalMemory {
			t.Errorf("crossings %+v, want the confirmed warning", all)
		}
		for range 100 {
			<-time.After(time.Millisecond)
			s.Wake("a", "an unknown reason")
		}
		stopSampler(t, s)
		s.Wake("a", WakePressure) // after it was stopped
		if fast = m.readings()[before:]; len(fast) > 4 {
			t.Errorf("%d readings in 100 ms, want 3", len(fast))
		}
		if v := testutil.ToFloat64(s.opts.Metrics.wakes[WakeMemoryEvents]); v != 1 {
			t.Errorf("%v wakes by memory_events, want 1", v)
		}
		if v := testutil.ToFloat64(s.opts.Metrics.wakes[WakeOther]); v < 1 {
			t.Errorf("%v wakes by other, want 1 at least", v)
		}
		want := strings.NewReader("# HELP spillway_sampler_wakes_total Readings of a target's memory or heap between two sweeps, by reason.\n# TYPE spillway_sampler_wakes_total counter\n")
		if err := testutil.GatherAndCompare(reg, want, "spillway_sampler_wakes_total"); err == nil || !strings.Contains(err.Error(), `reason="threshold"} 0`) {
			t.Errorf("a reason without readings is not born at 0: %v", err)
		}
		if m.closed == 0 {
			t.Error("what the readings had open is not closed")
		}
	})
}

// TestBoundedByTheCgroup: page cache that fills a cgroup makes no level, and the memory below it is
// seen when it rises.
func TestBoundedByTheCgroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m *memory
		c, store := sampleMemory(t, 30*time.Second, func(store *series.Store) []*memory {
			m = newMemory(store, "a", 400*mib, func(at time.Duration) float64 {
				return (100 + max(at-20*time.Second, 0).Seconds()*100) * mib
			})
			m.cached = 250 * mib
			return []*memory{m}
		}, nil)
		at, ok := c.at(series.LevelCritical)
		if late := at.Sub(m.began) - 22400*time.Millisecond; !ok || late < 0 || late > 110*time.Millisecond {
			t.Errorf("critical %s after it was crossed: %v", late, c.all)
		}
		if c.all[0].At.Sub(m.began) < 21*time.Second {
			t.Errorf("page cache made a level: %v", c.all[0])
		}
		if v, _, _ := store.Value(metric.MemoryUsedRatio, "a"); v > 3 {
			t.Errorf("ratio %v", v)
		}
	})
}

// TestReadingsWithinTheirCost: expensive readings are rare, those of many targets too.
func TestReadingsWithinTheirCost(t *testing.T) {
	f := func(name string, targets int, cost time.Duration, rate float64, most float64) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var all []*memory
				sampleMemory(t, time.Minute, func(store *series.Store) []*memory {
					for i := range targets {
						m := newMemory(store, fmt.Sprint(i), 400*mib, func(at time.Duration) float64 { return (278 + rate*float64(at.Milliseconds()%2)) * mib })
						m.cost = cost
						all = append(all, m)
					}
					return all
				}, nil)
				busy := 0.0
				for _, m := range all {
					busy += float64(len(m.readings())) * cost.Seconds()
				}
				if share := busy / 60; share > most {
					t.Errorf("%.2f %% of a core, want %.2f", share*100, most*100)
				}
			})
		})
	}
	f("one that grows", 1, 5*time.Millisecond, .7, .013)
	f("one that is calm", 1, 5*time.Millisecond, 0, .0035)
	f("fifty that grow", 50, time.Millisecond, .7, .04)
	f("fifty that are calm", 50, time.Millisecond, 0, .024)
}

// TestAFailedReadingIsLeftToTheSweep: it changes nothing, and the next sweep goes on.
func TestAFailedReadingIsLeftToTheSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m *memory
		_, store := sampleMemory(t, 12*time.Second, func(store *series.Store) []*memory {
			m = newMemory(store, "a", 400*mib, func(time.Duration) float64 { return 279 * mib })
			m.failing = true
			return []*memory{m}
		}, nil)
		if v, _, ok := store.Value(metric.MemoryUsed, "a"); !ok || v != 279*mib {
			t.Errorf("used %v, %v, want what the sweep read", v, ok)
		}
		if len(m.sweeps) != 3 {
			t.Errorf("%d sweeps, want 3", len(m.sweeps))
		}
	})
}

// TestAReadingIsTriedAgain: one that failed does not leave the target to the next sweep.
func TestAReadingIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m *memory
		sampleMemory(t, 1100*time.Millisecond, func(store *series.Store) []*memory {
			m = newMemory(store, "a", 400*mib, func(time.Duration) float64 { return 279 * mib })
			m.failing = true
			return []*memory{m}
		}, func(*Sampler, *crossings) {
			<-time.After(600 * time.Millisecond)
			m.mu.Lock()
			m.failing = false
			m.mu.Unlock()
		})
		if len(m.readings()) == 0 {
			t.Error("no reading within a second after the one that failed")
		}
	})
}

// TestAFailedSweepIsAbsent: what the sweep could not read is not filled in by the readings before the
// next one.
func TestAFailedSweepIsAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m *memory
		_, store := sampleMemory(t, 4*time.Second, func(store *series.Store) []*memory {
			m = newMemory(store, "a", 400*mib, func(time.Duration) float64 { return 279 * mib })
			return []*memory{m}
		}, func(*Sampler, *crossings) {
			<-time.After(time.Second)
			m.unswept.Store(true)
			<-time.After(5 * time.Second)
		})
		if v, _, ok := store.Value(metric.MemoryUsed, "a"); ok {
			t.Errorf("used %v after a sweep that failed, want it absent", v)
		}
		if fast := m.readings(); len(fast) == 0 || fast[len(fast)-1] > 5*time.Second {
			t.Errorf("readings %v, want some before the sweep that failed and none after it", fast)
		}
	})
}

// TestOverlapPublishesTheNewest: a reading that comes between the sweep's own and its commit is the
// newer one, and stays.
func TestOverlapPublishesTheNewest(t *testing.T) {
	s, store, _, _ := newTestSampler(t)
	m := newMemory(store, "a", 400*mib, func(time.Duration) float64 { return 100 * mib })
	j := &job{Job: Job{Source: "process", Target: "a", Impl: m}}
	j.batch.Reset(testStart)
	if err := m.Sample(t.Context(), &j.batch); err != nil {
		t.Fatal(err)
	}
	var b series.Batch
	if !m.take(&b, testStart.Add(time.Millisecond), exactly(390*mib), place{meter: m}) {
		t.Fatal("the reading was not taken")
	}
	store.Commit(&j.batch)
	s.near.sampled(j)
	used, _, _ := store.Value(metric.MemoryUsed, "a")
	level, _, _ := store.Value(metric.MemoryLevel, "a")
	if used != 390*mib || level != 3 {
		t.Errorf("used %v MiB at level %v, want the newer 390 at emergency", used/mib, level)
	}
	if m.take(&b, testStart.Add(time.Second), exactly(0), place{}) {
		t.Error("a reading of another place was taken")
	}
}

// TestReloadGoesOnWithTheLevel: another sampler takes over the level, and reports no crossing for it.
func TestReloadGoesOnWithTheLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store, _, _ := newTestSampler(t)
		used := func(time.Duration) float64 { return .87 * 400 * mib }
		start := func(s *Sampler) (*memory, *crossings) {
			m, c := newMemory(store, "a", 400*mib, used), &crossings{store: store}
			s.opts.Crossed = c.note
			s.lanes = append(s.lanes, newLane(s, Lane{Name: "process", Interval: 5 * time.Second, Jobs: []Job{{Source: "process", Target: "a", Impl: m}}}))
			s.Start(t.Context())
			<-s.Ready()
			<-time.After(2 * time.Second)
			return m, c
		}
		_, c := start(s)
		if len(c.sofar()) != 1 || c.sofar()[0].To != series.LevelCritical {
			t.Errorf("crossings of the first: %v", c.sofar())
		}
		stopSampler(t, s)
		next := NewSampler(SamplerOptions{Store: store, Metrics: s.opts.Metrics, Logger: s.opts.Logger})
		_, c = start(next)
		s.Forget()
		if v, _, ok := store.Value(metric.MemoryLevel, "a"); len(c.sofar()) != 0 || v != 2 || !ok {
			t.Errorf("after a reload the level is %v, %v, crossings %v, want critical and none", v, ok, c.sofar())
		}
		stopSampler(t, next)
	})
}

// TestAnySeriesIsFollowed: whatever the memory does, levels are those of readings that were taken,
// crossings are a chain, the store has the level that is reported, and readings are 50 ms apart.
func TestAnySeriesIsFollowed(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			var steps []float64
			v := 200.0
			for range 700 {
				v = min(max(v+rng.NormFloat64()*10, 10), 420)
				steps = append(steps, v*mib)
			}
			var m *memory
			c, store := sampleMemory(t, time.Minute, func(store *series.Store) []*memory {
				m = newMemory(store, "a", 400*mib, func(at time.Duration) float64 { return steps[min(int(at/(100*time.Millisecond)), len(steps)-1)] })
				if rng.IntN(2) == 0 {
					m.cached = 100 * mib
				}
				return []*memory{m}
			}, func(s *Sampler, _ *crossings) {
				for range 30 {
					<-time.After(time.Duration(rng.IntN(1000)) * time.Millisecond)
					s.Wake("a", WakePressure)
				}
			})
			level := series.LevelNormal
			for i, x := range c.all {
				if x.From != level || c.seen[i] != float64(x.To) {
					t.Fatalf("crossing %d is %+v at level %v, and the store had %v", i, x, level, c.seen[i])
				}
				level = x.To
				got := testThresholds.Of(m.used(x.At.Sub(m.began)) / (400 * mib))
				if x.To > x.From && got < x.To {
					t.Fatalf("rose to %v at a reading of %v", x.To, got)
				}
			}
			if v, _, _ := store.Value(metric.MemoryLevel, "a"); v != float64(level) {
				t.Errorf("the store ends at level %v, the crossings at %v", v, level)
			}
			all := append(m.readings(), m.sweeps...)
			slices.Sort(all)
			fast := m.readings()
			for i := 1; i < len(fast); i++ {
				if fast[i]-fast[i-1] < leastGap {
					t.Fatalf("readings %s and %s", fast[i-1], fast[i])
				}
			}
		})
	}
}
