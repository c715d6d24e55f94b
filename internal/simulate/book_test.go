package simulate

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// TestBookIsTheJournal: the model of the journal answers as the journal on disk does, and keeps the same
// over an orderly restart.
func TestBookIsTheJournal(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(seed, nil)
				w.killIn = 0
				for range 3 {
					file, err := journal.Open(journal.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
					if err != nil {
						t.Fatal(err)
					}
					w.p = &process{w: w, dead: make(chan struct{})}
					w.p.book = openBook(w, w.p)
					if diff := cmp.Diff(file.Interrupted(), w.p.book.Interrupted()); diff != "" {
						t.Errorf("interrupted (-journal +model):\n%s", diff)
					}
					same(t, w, file)
					w.p.book.close()
					if err := file.Close(); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}

// same does the same to both by chance, and compares every answer.
func same(t *testing.T, w *world, file *journal.Journal) {
	t.Helper()
	book, ctx := w.p.book, t.Context()
	var ids []string
	for n := range 60 {
		<-time.After(w.between(time.Millisecond, time.Second))
		change := func(r *journal.Record) { r.Outcome, r.Files = fmt.Sprint("outcome ", n), int64(n) }
		id := "0000"
		if len(ids) > 0 {
			id = pick(w, ids...)
		}
		var one, two any
		text := func(err error) string { return fmt.Sprint(err) }
		key, value := fmt.Sprint("k/", w.rng.IntN(5)), []byte(fmt.Sprint(n))
		switch w.rng.IntN(6) {
		case 0, 1:
			records := []journal.Record{{Time: time.Now(), Target: "a", Intent: fmt.Sprint(n)}, {Time: time.Now(), Target: "b", RunID: id, Step: 1}}
			a, errA := file.BeginAll(ctx, records)
			b, errB := book.BeginAll(ctx, records)
			ids = append(ids, a...)
			one, two = []any{a, text(errA)}, []any{b, text(errB)}
		case 2:
			one, two = text(file.FinishLater(id, change)), text(book.FinishLater(id, change))
		case 3:
			one, two = text(file.FinishKeeping(ctx, id, change, key, value)), text(book.FinishKeeping(ctx, id, change, key, value))
		case 4:
			one, two = text(file.PutState(ctx, key, value)), text(book.PutState(ctx, key, value))
		case 5:
			a, errA := file.States("k/")
			b, errB := book.States("k/")
			one, two = []any{a, text(errA)}, []any{b, text(errB)}
		}
		if diff := cmp.Diff(one, two); diff != "" {
			t.Fatalf("step %d (-journal +model):\n%s", n, diff)
		}
	}
	<-time.After(time.Second) // what was handed over is written
	for _, id := range ids {
		r, found, err := file.Get(id)
		if err != nil || !found {
			t.Fatalf("%s: %v, %v", id, found, err)
		}
		model, open := w.disk.open[id]
		if !open {
			model = w.disk.done[id]
		}
		if diff := cmp.Diff(r, model, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
			t.Errorf("%s (-journal +model):\n%s", id, diff)
		}
	}
}
