package app

import (
	"os"
	"time"

	"github.com/prometheus/exporter-toolkit/web"

	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
)

// Options are what the exporter is started with.
type Options struct {
	hostfs.Roots
	ConfigFile    string // "" = embedded defaults
	TelemetryPath string // a path that web.CheckTelemetryPath accepts
	Web           *web.FlagConfig
	ReloadSignal  <-chan os.Signal // each value is a request to reload; may be nil
	Now           func() time.Time // default time.Now
}
