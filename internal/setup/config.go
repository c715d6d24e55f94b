package setup

import (
	"cmp"
	"log/slog"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/listen"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// LoadConfig reads a configuration file; "" is the embedded defaults. checks outlive the loads of an
// exporter: see config.Checks.
func LoadConfig(file string, checks *config.Checks) (*config.Config, error) {
	if file == "" {
		return config.Default(), nil
	}
	return checks.Load(file)
}

// Warn logs what this host refuses, and problems that may resolve themselves, such as a missing
// directory.
func Warn(cfg *config.Config, logger *slog.Logger) {
	for _, note := range HostNotes() {
		logger.Warn("a system call is refused", "hint", note)
	}
	for _, w := range cfg.Warnings {
		logger.Warn("configuration", "file", w.File, "line", w.Line, "key", w.Key, "hint", w.Msg)
	}
}

// HostNotes says what this host, or a filter on this process, refuses, and what stands in.
func HostNotes() []string {
	var out []string
	for _, err := range []error{dirscan.Openat2(), proc.Signals()} {
		if err != nil {
			out = append(out, err.Error())
		}
	}
	return out
}

// AccessNote says what follows from a configuration for the callers of the changing endpoints where
// that may surprise: trust_loopback, and endpoints that no one can use. It is "" elsewhere.
// authenticated says that the listener lets in only those who have proved who they are.
func AccessNote(cfg *config.Config, authenticated bool) string {
	proof := cfg.Webhook.TokenFile != "" || authenticated
	switch {
	case cfg.TrustLoopback && proof:
		return "trust_loopback: true changes nothing here: the token, or the listener's own authentication, is required of every caller"
	case cfg.TrustLoopback:
		return "trust_loopback: true lets every process on this host start clean-ups, with force too, and everyone who reaches a proxy on this host, such as nginx, that does not say so in a header"
	case !proof && !cfg.TrustsLoopback():
		return "/api/v1/webhook, /api/v1/run and /-/reload refuse every caller, because mode enforce is set and no one can prove who they are: write webhook: {token_file: ...}, protect the listener with --web.config.file, or write trust_loopback: true; rules evaluated here, schedules, polled Alertmanagers and SIGHUP work without them"
	}
	return ""
}

// LogAccess logs the AccessNote.
func LogAccess(cfg *config.Config, auth listen.Auth, logger *slog.Logger) {
	if note := AccessNote(cfg, auth.Decided()); note != "" {
		logger.Warn("who may call the changing endpoints", "hint", note)
	}
}

// LogMode logs what the exporter may change: the mode, and how many targets differ from it.
func LogMode(cfg *config.Config, file string, logger *slog.Logger) {
	counts := make(map[string]int)
	for i := range cfg.Targets {
		counts[cfg.Targets[i].Mode]++
	}
	pairs := []any{"mode", cfg.Mode, "file", cmp.Or(file, "embedded defaults"), "targets", len(cfg.Targets)}
	for _, mode := range []string{config.DryRun, config.Propose, config.Enforce} {
		if counts[mode] > 0 && mode != cfg.Mode {
			pairs = append(pairs, mode, counts[mode])
		}
	}
	logger.Info("configuration loaded", pairs...)
}
