package setup

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/restart"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

// How long after its start the first reading of a service is taken for one of the start: what it holds later may be
// its work.
const (
	firstSettle = 5 * time.Second
	firstLasts  = 2 * time.Minute
	firstSeen   = 30 * time.Second // of an exporter that has begun to read later it is not known what the service held at its start
)

// NewRestarts returns what remembers restarts in the journal; open returns it, nil before it is open.
func NewRestarts(open func() *journal.Journal, reg prometheus.Registerer, now func() time.Time) *restart.Ledger {
	return restart.NewLedger(restart.LedgerOptions{Now: now, Registerer: reg, Store: func() restart.Store {
		if j := open(); j != nil {
			return j
		}
		return nil
	}})
}

// restarted looks at a target for its restarts.
type restarted struct {
	cfg     *config.Config
	target  *config.Target
	tracker *proc.Tracker
	store   *series.Store
	observe dispatch.Observer
}

// RestartOf returns what a restart needs to know of a target.
func RestartOf(cfg *config.Config, t *config.Target, tracker *proc.Tracker, store *series.Store, o dispatch.Observer) restart.Service {
	r := &restarted{cfg, t, tracker, store, o}
	s := restart.Service{
		Place: PlaceOf(tracker, t.Name), Reading: r.reading, First: r.first, Instance: r.instance,
		Host: cfg.Restarts, Refresh: func() { o.Refresh(t.Name, subject.Memory) },
	}
	switch {
	case t.Probe != nil:
		s.Ready, s.ReadyBy = r.answers, "its probe"
	case t.Processes != nil && t.Processes.Match.ListenPort > 0:
		s.Ready, s.ReadyBy = r.runs, "its port"
	case t.Processes != nil:
		s.Ready, s.ReadyBy = r.runs, "its processes"
	}
	return s
}

// PlaceOf returns a function that says where the processes of a target are.
func PlaceOf(tracker *proc.Tracker, target string) func() restart.Place {
	return func() restart.Place {
		u, err := tracker.Usage(target)
		if err != nil || u.Processes == 0 {
			return restart.Place{}
		}
		p := restart.Place{Unit: proc.SystemUnit(u.CgroupV2, u.CgroupV1)}
		if c := u.Container; c != nil {
			p.Engine, p.Container, p.Pod, p.Namespace, p.PodUID, p.UserOwned, p.Owner = c.Engine, c.ID, c.Pod, c.Namespace, c.PodUID, c.UID != 0, int(c.UID)
		}
		return p
	}
}

func (r *restarted) reading() restart.Reading {
	ratio, at, ok := r.store.Value(metric.MemoryUsedRatio, r.target.Name)
	if !ok {
		return restart.Reading{}
	}
	return r.judge(ratio, at, r.observe.Observe(r.target.Name, subject.Memory).Text)
}

func (r *restarted) judge(ratio float64, at time.Time, text string) restart.Reading {
	if text == "" {
		text = "memory at " + strconv.Itoa(int(ratio*100)) + "% of its limit"
	}
	return restart.Reading{Known: true, Ratio: ratio, Level: int(r.cfg.Thresholds.Memory.Of().Of(ratio)), At: at, Text: text}
}

// first returns the reading right after the last start, from the finest ring that goes back so far.
func (r *restarted) first() restart.Reading {
	start, _, ok := r.store.Value(metric.ProcessOldestStart, r.target.Name)
	if !ok {
		return restart.Reading{}
	}
	began := time.UnixMilli(int64(start * 1000))
	for _, tier := range []series.Tier{series.TierSample, series.TierMedium, series.TierLong} {
		points := r.store.Points(nil, tier, metric.MemoryUsedRatio, r.target.Name)
		if len(points) == 0 || points[0].Time.After(began.Add(firstSeen)) {
			continue // it does not go back so far
		}
		for _, p := range points {
			if after := p.Time.Sub(began); after >= firstSettle && after <= firstLasts {
				return r.judge(p.Min, p.Time, "")
			}
		}
	}
	return restart.Reading{}
}

// answers reports whether the probe has been answered since a time.
func (r *restarted) answers(since time.Time) bool {
	ok, at, known := r.store.Value(metric.ProbeSuccess, r.target.Name)
	return known && ok == 1 && at.After(since)
}

// runs reports whether the target has processes in a listing since a time.
func (r *restarted) runs(since time.Time) bool {
	n, at, ok := r.store.Value(metric.Processes, r.target.Name)
	return ok && n > 0 && at.After(since)
}

// instance names the oldest process by its number and start.
func (r *restarted) instance() string {
	u, err := r.tracker.Usage(r.target.Name)
	if err != nil || u.Processes == 0 {
		return ""
	}
	return strconv.FormatUint(u.OldestTicks, 10)
}
