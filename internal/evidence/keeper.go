package evidence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The outcomes of a capture, as they stand in the metrics.
const (
	Captured = "captured"
	Skipped  = "skipped" // by the guard: nothing was asked of the target
	Failed   = "failed"  // there is no profile, and it is known why
	Unknown  = "unknown" // the target was asked, and its answer was not seen
)

// Bounds of the time that a capture may take, so that relief goes on.
const (
	leastTimeout  = 2 * time.Second
	mostTimeout   = 10 * time.Second
	timeoutFactor = 5 // times the pause that is reckoned with
)

// restBetween is how long a target is left alone after a capture, whoever requests the next. V8 ends a process whose heap is
// nearly full after four collections in a row that took most of its time, and a capture is one of them: a person who captured a
// full heap again and again ended it (internal/e2e saw that). Go's runtime ends no process for its collections, and a census of
// Python collects nothing: these rungs have a second.
const restBetween = 30 * time.Second

// Request asks for one capture.
type Request struct {
	Process  Process
	Provider string  // of its heap
	Config   *Config // validated
	Room     func() Room
	Reason   string // such as baseline; ReasonManual by a person
	ByHand   bool   // by a person: the budget of an hour does not hold it back
	DryRun   bool   // only say what would be done
}

// Taken is how a capture ended.
type Taken struct {
	Outcome string
	Skip    string // the reason, where it was skipped
	Detail  string // one sentence
	Rung    string
	Runtime string
	Profile *Profile    // nil but where it was captured
	Grew    *Difference // since the first capture of this start; nil where there is nothing to compare with
}

// KeeperOptions configure a Keeper. Store and Logger are required.
type KeeperOptions struct {
	Store   *Store
	Logger  *slog.Logger
	Metrics *Metrics         // nil = none
	Now     func() time.Time // default time.Now
}

// Keeper captures evidence within its price and keeps it. It is safe for concurrent use; of one target there is
// one capture at a time.
type Keeper struct {
	opts KeeperOptions

	mu   sync.Mutex
	busy map[string]bool
	cost map[rungOf][]Measured  // of the last captures, the newest last
	took map[string][]time.Time // of captures within the budget of an hour
	rest map[string]time.Time   // until which a target is left alone

	recalled map[string]bool // what earlier processes have captured is in the three above, by target
}

type rungOf struct{ target, provider, rung string }

// NewKeeper returns a Keeper.
func NewKeeper(o KeeperOptions) *Keeper {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Keeper{opts: o, busy: make(map[string]bool), cost: make(map[rungOf][]Measured), took: make(map[string][]time.Time), rest: make(map[string]time.Time), recalled: make(map[string]bool)}
}

// Store returns where captures are kept.
func (k *Keeper) Store() *Store { return k.opts.Store }

// Capture takes one profile by the first rung whose worst case fits, keeps it and compares it. It returns soon after ctx
// is done, and after ten seconds at the latest.
func (k *Keeper) Capture(ctx context.Context, q Request) Taken {
	name := q.Process.Target
	if !k.begin(name) {
		return Taken{Outcome: Skipped, Skip: SkipBusy, Detail: "another capture of it runs"}
	}
	defer k.end(name)
	k.recall(name)
	out, rung, price, used := k.choose(q)
	if rung == nil || q.DryRun {
		if !q.DryRun {
			k.opts.Metrics.ended(name, &out)
		}
		return out
	}
	k.note(name, q.ByHand)
	defer func() { k.leave(name, cmp.Or(rung.Rest, restBetween)) }()
	resident := watchResident(q.Process.ProcFS, q.Process.Members)
	start := time.Now()
	p, err := take(ctx, rung, price, q.Process)
	for errors.Is(err, ErrUnavailable) {
		if next, nextPrice, _ := k.fits(q, after(rung), q.Room()); next != nil {
			rung, price = next, nextPrice
			out.Rung = rung.Name
			p, err = take(ctx, rung, price, q.Process)
			continue
		}
		break
	}
	grown, known := resident()
	if err != nil {
		k.failed(&out, q, rung, Measured{Pause: time.Since(start), Bytes: unread(price), Used: used, At: k.opts.Now(), Lost: true}, err)
		k.opts.Metrics.ended(name, &out)
		return out
	}
	p.Target, p.Runtime, p.Rung, p.Kind, p.Time, p.Reason = name, rung.Runtime, rung.Name, rung.Kind, k.opts.Now(), q.Reason
	cost := Measured{Pause: p.Pause, Bytes: unread(price), Used: used, At: k.opts.Now()}
	if known {
		p.Took = grown
		cost.Bytes = bytesOf(grown)
	}
	k.remember(q, rung, cost)
	out.Outcome, out.Profile = Captured, &p
	if err := k.opts.Store.Add(ctx, &p, q.Config.Keep); err != nil {
		k.opts.Logger.Warn("a capture is not kept in the journal", "target", name, "err", err)
	}
	k.compare(&out)
	k.opts.Metrics.ended(name, &out)
	return out
}

// choose returns the first rung that fits; nil where none does, and then out says why.
func (k *Keeper) choose(q Request) (out Taken, chosen *Rung, price Price, used units.Bytes) {
	rungs := Of(q.Provider)
	if len(rungs) == 0 || q.Process.Heap == nil {
		return Taken{Outcome: Skipped, Skip: SkipNone, Detail: "its heap has no profile: write heap: {provider: ...} of a runtime that has one"}, nil, Price{}, 0
	}
	out = Taken{Outcome: Skipped, Runtime: rungs[0].Runtime}
	room := q.Room()
	if until := k.resting(q.Process.Target); !until.IsZero() {
		out.Skip, out.Detail = SkipRest, fmt.Sprintf("the last capture is only just over, and several collections in a row can end a process whose heap is full: capture again in %s", until.Sub(k.opts.Now()).Round(time.Second))+k.lastFound(q.Process.Target)
		return out, nil, Price{}, 0
	}
	if left := k.left(q); left <= 0 && !q.ByHand {
		out.Skip, out.Detail = SkipBudget, fmt.Sprintf("there were %d captures within the last hour, and per_hour allows no more", q.Config.PerHour)+k.lastFound(q.Process.Target)
		return out, nil, Price{}, 0
	}
	r, price, skipped := k.fits(q, rungs, room)
	if r == nil {
		out.Skip, out.Detail = skipped.Skip, skipped.Detail
		return out, nil, Price{}, 0
	}
	return Taken{Rung: r.Name, Runtime: r.Runtime, Detail: fmt.Sprintf("would capture a %s: it may pause the service for %s and take %s", r.Name, price.Pause.Round(time.Millisecond), price.Bytes)}, r, price, room.Used
}

// fits returns the first of rungs whose worst case fits; nil where none does, and why the last one does
// not, which costs the least.
func (k *Keeper) fits(q Request, rungs []Rung, room Room) (*Rung, Price, Taken) {
	var skipped Taken
	for i := range rungs {
		r := &rungs[i]
		price, held := r.PriceOf(room.Used, k.opts.Now(), k.costs(q, r))
		reason, detail := q.Config.Check(r, price, room)
		if reason == "" {
			return r, price, Taken{}
		}
		if !held.IsZero() {
			detail += fmt.Sprintf("; the last capture cost more than expected, which counts until %s", held.Format("2006-01-02 15:04"))
		}
		skipped.Skip, skipped.Detail = reason, detail
	}
	return nil, Price{}, skipped
}

// take captures by one rung, within its time.
func take(ctx context.Context, r *Rung, price Price, p Process) (Profile, error) {
	ctx, cancel := context.WithTimeout(ctx, min(max(timeoutFactor*price.Pause, leastTimeout), mostTimeout))
	defer cancel()
	return r.Capturer.Capture(ctx, p)
}

// after returns the rungs of a provider that stand behind one.
func after(r *Rung) []Rung {
	rungs := Of(r.Provider)
	for i := range rungs {
		if rungs[i].Name == r.Name {
			return rungs[i+1:]
		}
	}
	return nil
}

// failed notes how a capture went wrong. One that took its time is reckoned with the next time.
func (k *Keeper) failed(out *Taken, q Request, r *Rung, cost Measured, err error) {
	out.Outcome, out.Detail = Failed, err.Error()
	if errors.Is(err, ErrUnknown) {
		out.Outcome = Unknown
		k.remember(q, r, cost)
	}
	k.opts.Logger.Info("no evidence was captured", "target", q.Process.Target, "rung", r.Name, "outcome", out.Outcome, "took", cost.Pause.Round(time.Millisecond), "err", err)
}

// compare says what grew since the first capture of this start.
func (k *Keeper) compare(out *Taken) {
	out.Detail = fmt.Sprintf("captured a %s in %s", out.Rung, out.Profile.Pause.Round(time.Millisecond))
	d, err := k.Grew(out.Profile.Target, time.Time{})
	if err != nil {
		return
	}
	out.Grew = &d
	if text := d.String(); text != "" {
		out.Detail = text
	}
}

// lastFound says what the newest capture of a target has found, for one that is skipped; "" where there is nothing to say.
func (k *Keeper) lastFound(target string) string {
	all, err := k.opts.Store.All(target)
	if err != nil || len(all) == 0 {
		return ""
	}
	d, err := GrewIn(all, time.Time{})
	if text := d.String(); err == nil && text != "" {
		return fmt.Sprintf("; the capture of %s found %s", all[len(all)-1].Time.Format("15:04"), text)
	}
	return ""
}

// Grew compares the newest capture of a target with the first of the same start, or with the first after a moment. The
// error is an ErrIncomparable where there is nothing to compare.
func (k *Keeper) Grew(target string, since time.Time) (Difference, error) {
	all, err := k.opts.Store.All(target)
	if err != nil {
		return Difference{}, err
	}
	return GrewIn(all, since)
}

// GrewIn compares the last of captures with the first of the same start, or with the first after a moment.
func GrewIn(all []Profile, since time.Time) (Difference, error) {
	if len(all) == 0 {
		return Difference{}, fmt.Errorf("%w: nothing was captured", ErrIncomparable)
	}
	newest := all[len(all)-1]
	var before []Profile
	for _, p := range Comparable(all, &newest) {
		if !p.Time.Before(since) {
			before = append(before, p)
		}
	}
	if len(before) == 0 {
		return SinceBegin(newest)
	}
	return Diff(before[0], newest, before[1:]...)
}

func (k *Keeper) begin(target string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.busy[target]
	k.busy[target] = true
	return !was
}

func (k *Keeper) end(target string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.busy, target)
}

// leave begins the time in which a target is left alone.
func (k *Keeper) leave(target string, rest time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rest[target] = k.opts.Now().Add(rest)
}

// resting returns until when a target is left alone; zero when it is not.
func (k *Keeper) resting(target string) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	if until := k.rest[target]; k.opts.Now().Before(until) {
		return until
	}
	return time.Time{}
}

// left returns how many captures the budget of the hour still has.
func (k *Keeper) left(q Request) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, from := q.Config.PerHour, k.opts.Now().Add(-time.Hour)
	for _, at := range k.took[q.Process.Target] {
		if at.After(from) {
			n--
		}
	}
	return n
}

func (k *Keeper) note(target string, byHand bool) {
	if byHand {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	list := append(k.took[target], k.opts.Now())
	k.took[target] = list[max(0, len(list)-mostPerHour):]
}

func (k *Keeper) costs(q Request, r *Rung) []Measured {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cost[rungOf{q.Process.Target, q.Provider, r.Name}]
}

func (k *Keeper) remember(q Request, r *Rung, m Measured) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := rungOf{q.Process.Target, q.Provider, r.Name}
	past := k.cost[at]
	k.cost[at] = append(slices.Clone(past[max(0, len(past)-mostCosts+1):]), m)
}
