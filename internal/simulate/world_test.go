package simulate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/eval"
)

// world is one story: the exporter and everything around it.
type world struct {
	seed  uint64
	rng   *rand.Rand // of the story alone
	begin time.Time
	rules map[time.Duration]*eval.Ruleset
	told  func(at time.Duration, what string) // hears the trace; nil when no one does

	offset atomic.Int64  // of the clock of the host, which may be set
	sum    atomic.Uint64 // the trace
	points atomic.Int64  // moments at which the exporter could have been killed
	crash  chan struct{} // the process was killed

	killIn     uint64 // at a point the process is killed once in so many times
	rough      uint64 // actions that do not work well, in percent
	standalone bool
	queue      int
	workers    int

	mu       sync.Mutex
	gentle   bool // nothing fails
	disk     *disk
	services map[string]*service
	config   *settings
	p        *process
	calls    []*call // actions that have not returned
	ledger   ledger
	broken   []string
	alerts   []*ruleAlert
}

var serviceNames = []string{"api", "batch", "web"}

func newWorld(seed uint64, rules map[time.Duration]*eval.Ruleset) *world {
	w := &world{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 0x5eed)), begin: time.Now(), rules: rules, crash: make(chan struct{}, 1),
		disk: newDisk(), services: make(map[string]*service), ledger: newLedger(),
	}
	for _, name := range serviceNames {
		w.services[name] = newService(name)
	}
	w.killIn = pick(w, uint64(0), 3000, 500, 100)
	w.rough = pick(w, uint64(0), 5, 20, 50)
	w.standalone = w.happens(50)
	w.queue = pick(w, 2, 5, 1000)
	w.workers = 1 + w.rng.IntN(4)
	w.offset.Store(int64(w.between(0, 24*time.Hour)))
	w.config = w.newSettings()
	return w
}

// elapsed is what has passed since the beginning of the story, by a clock that no one sets.
func (w *world) elapsed() time.Duration { return time.Since(w.begin) }

func (w *world) sinceBegin() int64 { return int64(w.elapsed()) }

// now is the clock of the host. It has no monotonic reading, as the times that come from a journal.
func (w *world) now() time.Time { return time.Now().Round(0).Add(time.Duration(w.offset.Load())) }

// set sets the clock of the host, when all has happened that happens at this moment.
func (w *world) set(by time.Duration) {
	synctest.Wait()
	w.mu.Lock()
	w.ledger.guards.clamp(w.now()) // what is over by now may be forgotten
	w.mu.Unlock()
	w.offset.Add(int64(by))
	w.trace("clock set by", by.String())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ledger.clamp(w.now())
}

// say is the trace of what a process does while it lives.
func (p *process) say(parts ...string) {
	if !p.isDead() {
		p.w.trace(parts...)
	}
}

// trace adds something that happened to the sum. The order of what happens at the same nanosecond does
// not matter.
func (w *world) trace(parts ...string) {
	w.sum.Add(w.chance(parts...))
	if w.told != nil {
		w.told(w.elapsed(), strings.Join(parts, " "))
	}
}

// point is a moment at which the process can be killed. It is false when it is dead.
func (w *world) point(p *process, what string) bool {
	if p.isDead() {
		return false
	}
	w.points.Add(1)
	w.trace(what)
	if w.killIn > 0 && !w.isGentle() && w.one(w.killIn, what, "kill") {
		// A little later, so that what others do at this nanosecond has happened.
		p.wait(w.delay(time.Nanosecond, time.Microsecond, what, "death"))
		w.trace("killed")
		p.die()
		return false
	}
	return true
}

func (w *world) isGentle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gentle
}

func (w *world) syncTime() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.disk.slow
}

// breaks notes that an invariant is broken. World.mu is held.
func (w *world) breaks(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if len(w.broken) < 5 && !slices.Contains(w.broken, text) {
		w.broken = append(w.broken, fmt.Sprintf("after %s, at %s: %s", w.elapsed(), w.now().Format(time.DateTime), text))
	}
}

func (w *world) isBroken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.broken) > 0
}
