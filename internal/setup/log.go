package setup

import (
	"io"
	"log/slog"
	"time"

	"github.com/go-kit/log"
	sloggokit "github.com/tjhop/slog-gokit"
)

// timeForm is the time stamp of the exporters of Prometheus: UTC, milliseconds.
const timeForm = "2006-01-02T15:04:05.000Z07:00"

// NewLogger builds the one log sink: go-kit/log below, slog above. The levels are debug, info, warn
// and error, the formats logfmt and json. A line begins with ts, caller, level and msg, as log
// pipelines know it of other exporters.
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
	return slog.New(sloggokit.NewGoKitHandler(classic{base}, &threshold))
}

// classic writes the pairs of the handler, which begin with level, caller, time and msg, in the
// order ts, caller, level, msg. Each time has the form of ts.
type classic struct{ log.Logger }

// Log implements log.Logger. The pairs are the handler's own, made anew for each line.
func (c classic) Log(pairs ...any) error {
	const level, caller, at = 0, 2, 4
	if len(pairs) > at+1 && pairs[caller] == "caller" && pairs[at] == slog.TimeKey {
		if t, ok := pairs[at+1].(time.Time); ok {
			pairs[level], pairs[level+1], pairs[at], pairs[at+1] = "ts", t.UTC().Format(timeForm), pairs[level], pairs[level+1]
		}
	}
	for i := 1; i < len(pairs); i += 2 {
		switch v := pairs[i].(type) {
		case time.Time:
			pairs[i] = v.UTC().Format(timeForm)
		case slog.Value:
			if v.Kind() == slog.KindTime {
				pairs[i] = v.Time().UTC().Format(timeForm)
			}
		}
	}
	return c.Logger.Log(pairs...)
}
