package app

import (
	"context"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// evalState keeps the evaluator's alerts in the journal's file.
type evalState struct{ j *journal.Journal }

const evalStateKey = "evaluator"

// Get implements eval.StateStore.
func (s evalState) Get() ([]byte, error) { return s.j.State(evalStateKey) }

// Put implements eval.StateStore.
func (s evalState) Put(blob []byte) error {
	return s.j.PutState(context.Background(), evalStateKey, blob)
}
