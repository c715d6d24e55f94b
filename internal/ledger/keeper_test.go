package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// fill writes runs in which the first step never helps into a journal, the last one an hour ago.
func fill(t *testing.T, j *journal.Journal, runs int) {
	t.Helper()
	p := &past{now: time.Now().Add(-time.Duration(runs)*time.Hour - time.Minute)}
	p.repeat(runs, "relieved", time.Hour-5*time.Second, evict, collect)
	ids := make(map[string]string)
	for _, r := range p.records {
		r.RunID = ids[r.RunID]
		outcome := r.Outcome
		r.Outcome = ""
		id, err := j.Begin(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if r.Step == 0 {
			ids[fmt.Sprintf("%016d", len(ids)+1)] = id
		}
		err = j.Finish(t.Context(), id, func(w *journal.Record) {
			w.Outcome, w.FreedBytes, w.DurationSecs = outcome, r.FreedBytes, r.DurationSecs
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func newKeeper(j Store, log *bytes.Buffer) *Keeper {
	return NewKeeper(KeeperOptions{
		Store: j, Critical: func() float64 { return 0.85 }, Logger: slog.New(slog.NewTextHandler(log, nil)), Now: time.Now,
	})
}

// TestWeek: a week after the first start one sentence is logged for each target and kept for the page; a restart
// does not repeat it, and the next one comes a week later.
func TestWeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		j := journal.OpenMemory(journal.Options{Logger: slog.New(slog.DiscardHandler)})
		defer j.Close()
		// serve runs an exporter for a time and returns what it knew in the end.
		serve := func(d time.Duration) *Keeper {
			k := newKeeper(j, &log)
			ctx, stop := context.WithTimeout(t.Context(), d)
			defer stop()
			k.Run(ctx)
			return k
		}
		said := func() int { return strings.Count(log.String(), "the last week") }
		if k := serve(24 * time.Hour); len(k.Week().Lines) != 0 || k.Week().At.IsZero() || said() != 0 {
			t.Errorf("after a day: %+v, %s", k.Week(), &log)
		}
		serve(5 * 24 * time.Hour)
		fill(t, j, 14)
		k := serve(2 * 24 * time.Hour)
		const advice = "evict_cache of relieve_memory relieved 0 of 14 runs: move it behind collect_garbage, which relieved 14 of 14"
		want := "relieve_memory ran 14 times: 14 relieved the pressure, 9.6GiB freed, the level was back after 60 min. " + advice
		if w := k.Week(); len(w.Lines) != 1 || w.Lines[0] != (Line{"app", want}) || said() != 1 {
			t.Errorf("after a week: %+v\nwant %q\n%s", w, want, &log)
		}
		if got := k.Advice("app"); len(got) != 1 || got[0] != advice || k.Advice("other") != nil {
			t.Errorf("%q", got)
		}
		if k := serve(time.Hour); len(k.Week().Lines) != 1 || said() != 1 {
			t.Errorf("after a restart: %+v, said %d times", k.Week(), said())
		}
		if k := serve(8 * 24 * time.Hour); len(k.Week().Lines) != 0 || said() != 1 {
			t.Errorf("after a week in which nothing ran: %+v, said %d times", k.Week(), said())
		}
		_ = j.PutState(t.Context(), stateKey, []byte("{"))
		if k := serve(time.Hour); k.Week().At.IsZero() {
			t.Error("a state that cannot be read was not begun anew")
		}
	})
}

// broken is a journal that answers with errors, or with as many records as are requested.
type broken struct {
	err     error
	queries int
}

func (b *broken) Query(f journal.Filter) ([]journal.Record, string, error) {
	b.queries++
	records := make([]journal.Record, f.Limit)
	for i := range records {
		n := b.queries*f.Limit + i
		records[i] = journal.Record{
			RunID: fmt.Sprint(n), Target: strings.Repeat("t", n%2000), Playbook: fmt.Sprint(n), Step: i % 3, Action: "x", Mode: "enforce", Outcome: "done",
			DurationSecs: math.NaN(), FreedBytes: -1, Before: "memory of of (999999%)",
		}
	}
	return records, "more", b.err
}
func (b *broken) States(string) (map[string][]byte, error)             { return nil, b.err }
func (b *broken) PutState(_ context.Context, _ string, _ []byte) error { return b.err }

// TestHostile: a journal without end, with names and numbers of any size, is read up to a bound; what fails leaves
// nothing said.
func TestHostile(t *testing.T) {
	j := new(broken)
	b, err := Read(j, time.Time{}, Options{})
	if err != nil || j.queries > MostRecords/pageRecords || len(b.open) > mostOpen {
		t.Errorf("%v, %d queries, %d runs are open", err, j.queries, len(b.open))
	}
	for _, name := range b.Targets() {
		a := b.Account(name)
		if len(name) > longestNames || len(a.Advice(0.85)) > mostAdvice || len(a.Summary()) > 4096 {
			t.Fatalf("%.40s: %d bytes", name, len(a.Summary()))
		}
		if _, err := json.Marshal(a); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	k := newKeeper(&broken{err: errors.New("no answer")}, &log)
	k.look(t.Context())
	if k.Advice("t") != nil || !k.Week().At.IsZero() {
		t.Errorf("%+v", k.Week())
	}
}

// BenchmarkRead is the price of a look at a full journal.
func BenchmarkRead(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(new(broken), time.Time{}, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
