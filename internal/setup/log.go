package setup

import (
	"io"
	"log/slog"

	"github.com/go-kit/log"
	sloggokit "github.com/tjhop/slog-gokit"
)

// NewLogger builds the one log sink: go-kit/log below, slog above. The levels are debug, info, warn
// and error, the formats logfmt and json. The base logger gets no time stamp of its own, since the
// handler adds one.
func NewLogger(w io.Writer, level, format string) *slog.Logger {
	base := log.NewLogfmtLogger(log.NewSyncWriter(w))
	if format == "json" {
		base = log.NewJSONLogger(log.NewSyncWriter(w))
	}
	var threshold slog.LevelVar
	switch level {
	case "debug":
		threshold.Set(slog.LevelDebug)
	case "warn":
		threshold.Set(slog.LevelWarn)
	case "error":
		threshold.Set(slog.LevelError)
	}
	return slog.New(sloggokit.NewGoKitHandler(base, &threshold))
}
