package setup

import (
	"context"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

const evaluatorKey = "evaluator"

// EvaluatorState keeps the evaluator's alerts in the journal's file.
type EvaluatorState struct{ Journal *journal.Journal }

// Get implements eval.StateStore.
func (s EvaluatorState) Get() ([]byte, error) { return s.Journal.State(evaluatorKey) }

// Put implements eval.StateStore.
func (s EvaluatorState) Put(blob []byte) error {
	return s.Journal.PutState(context.Background(), evaluatorKey, blob)
}
