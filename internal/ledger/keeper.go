package ledger

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"
)

const (
	// Span is how far back advice looks.
	Span = 28 * 24 * time.Hour

	weekLasts = 7 * 24 * time.Hour
	firstLook = time.Minute // after the start, which this does not hold up
	lookEvery = time.Hour
	mostLines = 20 // of a week
	stateKey  = "ledger/week"
)

// Store is a Journal that also keeps the summary of a week; *journal.Journal is one.
type Store interface {
	Journal
	States(prefix string) (map[string][]byte, error)
	PutState(ctx context.Context, key string, value []byte) error
}

// KeeperOptions configure a Keeper. All but Relieves are required.
type KeeperOptions struct {
	Store    Store
	Relieves func(action string) bool // as Options have it
	Critical func() float64           // the share of the limit at which memory is critical
	Logger   *slog.Logger
	Now      func() time.Time
}

// Week is the summary of a week.
type Week struct {
	At    time.Time `json:"at"` // when it ended
	Lines []Line    `json:"lines,omitempty"`
	More  int       `json:"more,omitempty"` // targets that have no line
}

// Line is what is said of one target.
type Line struct {
	Target string `json:"target"`
	Text   string `json:"text"`
}

// Of returns the week of one target; "" is all.
func (w Week) Of(target string) Week {
	if target == "" {
		return w
	}
	out := Week{At: w.At}
	for _, l := range w.Lines {
		if l.Target == target {
			out.Lines = append(out.Lines, l)
		}
	}
	return out
}

// Keeper reads the journal now and then. Run alone reads it; what it found is safe to ask for at any time.
type Keeper struct {
	opts KeeperOptions

	mu     sync.Mutex
	advice map[string][]string
	week   Week
}

// NewKeeper returns a Keeper that has read nothing yet.
func NewKeeper(o KeeperOptions) *Keeper { return &Keeper{opts: o} }

// Run reads the journal each hour until ctx is done.
func (k *Keeper) Run(ctx context.Context) {
	next := time.NewTimer(firstLook)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			k.look(ctx)
			next.Reset(lookEvery)
		}
	}
}

// Advice returns what is advised for a target.
func (k *Keeper) Advice(target string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.advice[target]
}

// Week returns the summary of the last week that has one.
func (k *Keeper) Week() Week {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.week
}

// look reads the journal. What cannot be read leaves all as it was: the journal itself reports that.
func (k *Keeper) look(ctx context.Context) {
	now := k.opts.Now()
	book, err := Read(k.opts.Store, now.Add(-Span), Options{Relieves: k.opts.Relieves})
	if err == nil {
		advice := make(map[string][]string)
		for _, name := range book.Targets() {
			a := book.Account(name)
			if list := a.Advice(k.opts.Critical()); len(list) > 0 {
				advice[name] = list
			}
		}
		k.mu.Lock()
		k.advice = advice
		k.mu.Unlock()
		err = k.lookAtWeek(ctx, now)
	}
	if err != nil {
		k.opts.Logger.Debug("the journal could not be read for the ledger", "err", err)
	}
}

// lookAtWeek writes the summary of a week when the last one is a week old. The first week begins with the first look.
func (k *Keeper) lookAtWeek(ctx context.Context, now time.Time) error {
	states, err := k.opts.Store.States(stateKey)
	if err != nil {
		return err
	}
	var last Week
	if err := json.Unmarshal(states[stateKey], &last); err != nil || last.At.After(now) {
		return k.put(ctx, Week{At: now}) // there is none, it is damaged, or the clock was set back
	}
	if now.Sub(last.At) < weekLasts {
		k.mu.Lock()
		k.week = last
		k.mu.Unlock()
		return nil
	}
	book, err := Read(k.opts.Store, now.Add(-weekLasts), Options{Relieves: k.opts.Relieves})
	if err != nil {
		return err
	}
	week := k.weekOf(book, now)
	if err := k.put(ctx, week); err != nil {
		return err // it is not said either, or it would be said again
	}
	for _, l := range week.Lines {
		k.opts.Logger.Info("the last week", "target", l.Target, "summary", l.Text)
	}
	return nil
}

func (k *Keeper) weekOf(book *Book, now time.Time) Week {
	week := Week{At: now}
	for _, name := range book.Targets() {
		a := book.Account(name)
		text := a.Summary()
		switch {
		case text == "":
		case len(week.Lines) == mostLines:
			week.More++
		default:
			for _, advice := range k.Advice(name) {
				text += ". " + advice
			}
			week.Lines = append(week.Lines, Line{name, text})
		}
	}
	return week
}

func (k *Keeper) put(ctx context.Context, w Week) error {
	value, err := json.Marshal(w)
	if err == nil {
		err = k.opts.Store.PutState(ctx, stateKey, value)
	}
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.week = w
	k.mu.Unlock()
	return nil
}
