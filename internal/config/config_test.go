package config

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

var update = flag.Bool("update", false, "write the expected messages of testdata/bad")

// fixture is a folder with what the files of testdata/bad speak of as DIR.
func fixture(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"cache", "tts/cache", "journal"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir+"/tts", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestThresholds: the short form holds for all signals, and one may differ in single levels.
func TestThresholds(t *testing.T) {
	f := func(text string, memory, heap series.Thresholds) {
		t.Helper()
		c, err := Parse("x.yml", []byte("thresholds: "+text+"\ntargets: [{name: app, processes: {match: {comm: node}}}]\n"))
		if err != nil {
			t.Fatal(err)
		}
		if m, h := c.Thresholds.Memory.Of(), c.Thresholds.Heap.Of(); m != memory || h != heap {
			t.Errorf("%s: memory %v, heap %v, want %v and %v", text, m, h, memory, heap)
		}
	}
	usual := series.Thresholds{Warning: .7, Critical: .85, Emergency: .95}
	f(`{}`, usual, usual)
	f(`{warning: 60%}`, series.Thresholds{Warning: .6, Critical: .85, Emergency: .95}, series.Thresholds{Warning: .6, Critical: .85, Emergency: .95})
	f(`{heap: {warning: 80%, critical: 92%}}`, usual, series.Thresholds{Warning: .8, Critical: .92, Emergency: .95})
	f(`{emergency: 97%, memory: {warning: 50%}, heap: {emergency: 99%}}`, series.Thresholds{Warning: .5, Critical: .85, Emergency: .97}, series.Thresholds{Warning: .7, Critical: .85, Emergency: .99})
}

// TestBad loads every file of testdata/bad and compares all that is said about it with the file
// next to it. go test ./internal/config -update writes them: read the difference.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yml")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	dir := fixture(t)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse("spillway.yml", bytes.ReplaceAll(raw, []byte("DIR"), []byte(dir)))
			if err == nil {
				t.Fatal("it was accepted")
			}
			got := strings.ReplaceAll(err.Error(), dir, "DIR") + "\n"
			golden := strings.TrimSuffix(file, ".yml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExampleLoads(t *testing.T) {
	c, err := Load("../../examples/spillway.yml")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Targets) != 1 || c.Targets[0].Mode != DryRun || len(c.Warnings) == 0 {
		t.Errorf("targets %d, mode %q, warnings %v: want one target in dry run and a word on folders that do not exist", len(c.Targets), c.Targets[0].Mode, c.Warnings)
	}
	// Every key that a struct knows stands in the example.
	raw, err := os.ReadFile("../../examples/spillway.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"sample_interval", "scan_interval", "evaluation_interval", "window", "mode", "standalone", "rule_files", "thresholds", "instance", "discover", "targets", "journal"} {
		if !bytes.Contains(raw, []byte(key+":")) {
			t.Errorf("the example does not show %s", key)
		}
	}
}

func TestDefaults(t *testing.T) {
	c, err := Parse("f.yml", []byte("targets: [{name: a, processes: {match: {comm: x}}}]"))
	if err != nil {
		t.Fatal(err)
	}
	if c.SampleInterval.Std() != 5*time.Second || c.ScanInterval.Std() != 30*time.Second || c.EvaluationInterval.Std() != 15*time.Second ||
		c.Window != 100 || c.Mode != DryRun || !*c.Standalone || c.Thresholds.Memory.Of().Critical != .85 || c.Targets[0].Mode != DryRun {
		t.Errorf("defaults: %+v", c)
	}
	if d := Default(); d.Enforces() || d.Discover.Top != 20 || !d.Defaults || d.Mode != DryRun {
		t.Errorf("without a file: %+v", d)
	}
}

func TestCheckListener(t *testing.T) {
	parse := func(text string) *Config {
		t.Helper()
		c, err := Parse("f.yml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	dry := parse("targets: [{name: a, processes: {match: {comm: x}}}]")
	enforce := parse("targets: [{name: a, mode: enforce, processes: {match: {comm: x}}}]")
	f := func(c *Config, address string, authenticated, want bool) {
		t.Helper()
		if err := c.CheckListener([]string{"127.0.0.1:1", address}, authenticated); (err == nil) != want {
			t.Errorf("%s, authenticated %v: %v, want accepted %v", address, authenticated, err, want)
		}
	}
	f(dry, ":10042", false, true)
	f(enforce, ":10042", false, false)
	f(enforce, "0.0.0.0:10042", false, false)
	f(enforce, "[::]:10042", false, false)
	f(enforce, "192.0.2.1:10042", false, false)
	f(enforce, ":10042", true, true)
	f(enforce, "127.0.0.1:10042", false, true)
	f(enforce, "[::1]:10042", false, true)
	f(enforce, "localhost:10042", false, true)
	enforce.Webhook.TokenFile = "/etc/spillway/token"
	f(enforce, ":10042", false, true)
}

// TestTrustsLoopback: any mode but dry_run takes the trust in callers on this host away, wherever it
// stands, until trust_loopback gives it back.
func TestTrustsLoopback(t *testing.T) {
	const two = "targets: [{name: a, processes: {match: {comm: x}}}, {name: b, mode: MODE, processes: {match: {comm: y}}}]"
	f := func(text, mode string, want bool) {
		t.Helper()
		c, err := Parse("f.yml", []byte(text+strings.Replace(two, "MODE", mode, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.TrustsLoopback(); got != want {
			t.Errorf("%q, one target in %s: %v, want %v", text, mode, got, want)
		}
	}
	f("", DryRun, true)
	f("", Enforce, false)
	f("mode: enforce\n", DryRun, false)
	f("mode: enforce\n", Enforce, false)
	f("trust_loopback: true\n", Enforce, true)
	f("trust_loopback: false\n", Enforce, false)
	f("trust_loopback: true\n", DryRun, true)
	only, err := Parse("f.yml", []byte("mode: enforce\ndiscover: {by: comm}\n"))
	if err != nil || only.TrustsLoopback() {
		t.Errorf("enforce without a target is trusted, %v", err)
	}
	if !Default().TrustsLoopback() {
		t.Error("without a file callers on this host are not trusted")
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "../../examples/spillway.yml") {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := Parse("f.yml", raw)
		if (c == nil) == (err == nil) {
			t.Errorf("config %v, error %v: want exactly one", c, err)
		}
	})
}
