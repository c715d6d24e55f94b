package replay

import (
	"context"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// book is the journal of the stage: what was decided, in memory. It is for one goroutine at a time.
type book struct {
	now     func() time.Time
	runs    []journal.Record // as a whole, without their steps
	spans   map[int]*span    // of the alerts that began them
	seen    int              // of runs, how many fresh has returned
	records map[string]int   // by id: the index of a run, -1 of a step
	states  map[string][]byte
	serial  int
}

func newBook(now func() time.Time) *book {
	return &book{now: now, spans: make(map[int]*span), records: make(map[string]int), states: make(map[string][]byte)}
}

// fresh returns the runs since the last call.
func (b *book) fresh() []int {
	var out []int
	for ; b.seen < len(b.runs); b.seen++ {
		out = append(out, b.seen)
	}
	return out
}

// Begin implements dispatch.Journal.
func (b *book) Begin(_ context.Context, r journal.Record) (string, error) {
	b.serial++
	id := strconv.Itoa(b.serial)
	r.ID = id
	if r.Step > 0 || r.Playbook == "" {
		b.records[id] = -1
		return id, nil
	}
	if r.RunID == "" {
		r.RunID = id
	}
	b.records[id] = len(b.runs)
	b.runs = append(b.runs, r)
	return id, nil
}

// BeginAll implements dispatch.Journal.
func (b *book) BeginAll(ctx context.Context, records []journal.Record) ([]string, error) {
	ids := make([]string, len(records))
	for i := range records {
		ids[i], _ = b.Begin(ctx, records[i])
	}
	return ids, nil
}

// Finish implements dispatch.Journal.
func (b *book) Finish(_ context.Context, id string, change func(*journal.Record)) error {
	if i, ok := b.records[id]; ok && i >= 0 {
		change(&b.runs[i])
	}
	delete(b.records, id)
	return nil
}

// FinishKeeping implements dispatch.Journal.
func (b *book) FinishKeeping(ctx context.Context, id string, change func(*journal.Record), key string, state []byte) error {
	if key != "" {
		b.states[key] = state
	}
	return b.Finish(ctx, id, change)
}

// FinishLater implements dispatch.Journal.
func (b *book) FinishLater(id string, change func(*journal.Record)) error {
	return b.Finish(context.Background(), id, change)
}

// PutState implements dispatch.Journal.
func (b *book) PutState(_ context.Context, key string, value []byte) error {
	b.states[key] = value
	return nil
}

// States implements dispatch.Journal.
func (b *book) States(prefix string) (map[string][]byte, error) {
	out := maps.Clone(b.states)
	maps.DeleteFunc(out, func(key string, _ []byte) bool { return !strings.HasPrefix(key, prefix) })
	return out, nil
}

// Interrupted implements dispatch.Journal.
func (b *book) Interrupted() []journal.Record { return nil }

// Durable implements dispatch.Journal: a target is in the mode that its file says.
func (b *book) Durable() bool { return true }
