// Package deploy has no code: its tests hold what is shipped next to the binary against the code
// and the rules, so that neither goes stale.
package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// loadText writes a configuration to a folder of the test and loads it.
func loadText(t *testing.T, text string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spillway.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// uncomment takes the # from every example of a configuration.
func uncomment(text string) string {
	return regexp.MustCompile(`(?m)^#( *- |targets|webhook|    )`).ReplaceAllString(text, "$1")
}

// The installed configuration must load as it stands, must change nothing, and must still load
// when someone takes the # from every example in it.
func TestInstalledConfig(t *testing.T) {
	text := read(t, "spillway.yml")
	cfg := loadText(t, text)
	if cfg.Enforces() {
		t.Error("the installed configuration enforces")
	}
	if len(cfg.Targets) != 0 || cfg.Discover == nil {
		t.Errorf("%d targets, discover %v: the installed configuration is to observe the groups alone", len(cfg.Targets), cfg.Discover)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text = strings.ReplaceAll(text, "/etc/spillway/token", token)
	cfg = loadText(t, uncomment(text))
	if len(cfg.Targets) != 1 || len(cfg.Targets[0].Caches) != 1 || len(cfg.Targets[0].TempDirs) != 1 || cfg.Webhook.TokenFile == "" {
		t.Errorf("the examples were not read: %d targets", len(cfg.Targets))
	}
	if cfg.Enforces() {
		t.Error("the examples enforce")
	}
}
