package action

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// TestSaidOfADryRun: the log of a dry run says what it would do, of every kind of folder.
func TestSaidOfADryRun(t *testing.T) {
	for _, k := range policy.Kinds {
		for _, dry := range []bool{false, true} {
			var log bytes.Buffer
			msg, args := dirKinds[k.Name].said(&PolicyResult{Policy: "p", Files: 2, FreedBytes: 4096}, dry)
			slog.New(slog.NewTextHandler(&log, nil)).Info(msg, args...) //nolint:sloglint // of the table
			if strings.HasPrefix(msg, "would ") != dry || strings.Contains(log.String(), " would_free=4") != dry || strings.Contains(log.String(), " freed=4") == dry {
				t.Errorf("%s, dry run %v: %s", k.Name, dry, log.String())
			}
		}
	}
}
