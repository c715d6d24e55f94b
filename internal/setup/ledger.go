package setup

import (
	"log/slog"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/ledger"
)

// NewLedger returns what learns from the journal which steps help. cfg returns the present configuration.
func NewLedger(j *journal.Journal, cfg func() *config.Config, logger *slog.Logger, now func() time.Time) *ledger.Keeper {
	return ledger.NewKeeper(ledger.KeeperOptions{
		Store: j, Relieves: Relieves, Critical: func() float64 { return Critical(cfg()) }, Logger: logger, Now: now,
	})
}

// Relieves reports whether an action relieves anything that is known: others look, or pass on what was done.
func Relieves(name string) bool {
	spec, ok := action.SpecOf(name)
	return ok && spec.Subject != ""
}

// Critical is the share of its limit at which memory is critical.
func Critical(cfg *config.Config) float64 { return cfg.Thresholds.Memory.Of().Critical }
