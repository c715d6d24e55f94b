package setup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// TestLogOrder: a line begins as that of every exporter of go-kit: when, where from, how severe, what. There is one
// time stamp in both formats, and the level filters.
func TestLogOrder(t *testing.T) {
	for format, want := range map[string]string{
		"logfmt": `^ts=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z caller=setup_test\.go:\d+ level=warn msg=loud k=v at=2s until=2026-12-01T11:17:28\.083Z$`,
		"json":   `^\{"at":"2s","caller":"setup_test\.go:\d+","k":"v","level":"warn","msg":"loud","ts":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","until":"2026-12-01T11:17:28\.083Z"\}$`,
	} {
		var b bytes.Buffer
		l := NewLogger(&b, "warn", format).With("k", "v")
		l.Info("quiet")
		l.Warn("loud", "at", 2*time.Second, "until", time.Date(2026, 12, 1, 12, 17, 28, 83692013, time.FixedZone("", 3600)))
		if text := strings.TrimSpace(b.String()); !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("%s: %s\nwant %s", format, text, want)
		}
	}
}

// TestReadJournalMayNot: a journal that this user may not read is not one that does not exist, and hides none that it may.
func TestReadJournalMayNot(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	open := func(dir string) (*journal.Journal, error) {
		switch dir {
		case "/closed":
			return nil, fmt.Errorf("read %s: %w", dir, fs.ErrPermission)
		case "/none":
			return nil, fmt.Errorf("read %s: %w", dir, fs.ErrNotExist)
		}
		return journal.OpenMemory(journal.Options{Logger: logger}), nil
	}
	if _, err := firstJournal([]string{"/closed", "/none"}, open, logger); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "/closed") {
		t.Errorf("closed, then none: %v", err)
	}
	if _, err := firstJournal([]string{"/none"}, open, logger); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	var log bytes.Buffer
	j, err := firstJournal([]string{"/closed", "/mine"}, open, NewLogger(&log, "info", "logfmt"))
	if err != nil || !strings.Contains(log.String(), "may not be read") || !strings.Contains(log.String(), "/closed") || !strings.Contains(log.String(), "/mine") {
		t.Fatalf("closed, then one of this user: %v, %s", err, log.String())
	}
	j.Close()
}

// Steps that collect garbage take level and rest of the heap's configuration, unless they say
// their own.
func TestCollectSteps(t *testing.T) {
	c := heap.Collect{MinLevel: "critical", Cooldown: units.Duration(15 * time.Minute)}
	f := func(s dispatch.Step, when int, cooldown time.Duration) {
		t.Helper()
		collectSteps(&c)(&s)
		if len(s.When) != when || s.Cooldown.Std() != cooldown {
			t.Errorf("%+v, want %d levels and %s", s, when, cooldown)
		}
	}
	f(dispatch.Step{Do: action.NameCollectGarbage}, 2, 15*time.Minute)
	f(dispatch.Step{Do: action.NameCollectGarbage, When: []series.Level{series.LevelWarning}, Cooldown: units.Duration(time.Minute)}, 1, time.Minute)
	f(dispatch.Step{Do: action.NameEvictCache}, 0, 0)
}

// TestMistake keeps the text and the chain of an error, and mistakes of a configuration are some too.
func TestMistake(t *testing.T) {
	err := fmt.Errorf("start: %w", Mistake(fs.ErrNotExist))
	if !IsMistake(err) || !errors.Is(err, fs.ErrNotExist) || err.Error() != "start: "+fs.ErrNotExist.Error() {
		t.Errorf("%v", err)
	}
	if IsMistake(fs.ErrNotExist) || IsMistake(nil) || !IsMistake(fmt.Errorf("x: %w", config.Errors{{Msg: "y"}})) {
		t.Error("other errors")
	}
}

// TestOpenJournal: the second folder where the first cannot be written; memory only where none can,
// which a configuration that enforces refuses.
func TestOpenJournal(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file") // a folder cannot be below it, for root either
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	cfg := &config.Config{Journal: journal.Config{Dir: blocked + "/journal", Keep: units.Duration(time.Hour)}}
	j, err := OpenJournal(cfg, logger, prometheus.NewRegistry())
	if err != nil || j.Durable() {
		t.Fatalf("dry run: durable %v, %v, want memory", j != nil && j.Durable(), err)
	}
	j.Close()
	if _, err := ReadJournal(cfg, logger); err == nil {
		t.Error("a journal that does not exist was read")
	}
	cfg.Targets = []config.Target{{Name: "a", Mode: config.Enforce}}
	if _, err := OpenJournal(cfg, logger, prometheus.NewRegistry()); err == nil || !strings.Contains(err.Error(), "mode enforce needs a journal that can be written") {
		t.Errorf("enforce: %v", err)
	}
	cfg.Journal.Dir = t.TempDir()
	if j, err = OpenJournal(cfg, logger, prometheus.NewRegistry()); err != nil || !j.Durable() {
		t.Fatalf("durable: %v", err)
	}
	defer j.Close()
	if _, err := OpenJournal(cfg, logger, prometheus.NewRegistry()); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("twice: %v", err)
	}
	read, err := ReadJournal(cfg, logger)
	if err != nil {
		t.Fatalf("alongside: %v", err)
	}
	read.Close()
}

// TestNewTracker: targets with processes are tracked, and MembersOf follows each refresh.
func TestNewTracker(t *testing.T) {
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{Targets: []config.Target{{Name: "bare"}, {Name: "own", Processes: &proc.Config{Match: proc.Match{Comm: strings.TrimSpace(string(comm))}}}}}
	tracker, err := NewTracker(cfg, hostfs.Roots{ProcFS: "/proc"}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer tracker.Close()
	members := MembersOf(tracker, "own")
	if n := len(members()); n != 0 {
		t.Errorf("%d members before the first refresh", n)
	}
	if err := tracker.Refresh(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if len(members()) == 0 {
		t.Error("this process is not a member")
	}
}

// TestAccessNote: only what may surprise is said.
func TestAccessNote(t *testing.T) {
	const token = "webhook: {token_file: /etc/hostname}\n"
	f := func(text string, authenticated bool, want string) {
		t.Helper()
		cfg, err := config.Parse("x.yml", []byte(text+"discover: {by: comm}\ntargets: [{name: a, processes: {match: {comm: x}}}]\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := AccessNote(cfg, authenticated); !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%q, authenticated %v: %q, want %q", text, authenticated, got, want)
		}
	}
	f("", false, "")
	f("mode: enforce\n", false, "/api/v1/webhook, /api/v1/run and /-/reload refuse every caller")
	f("mode: enforce\n", true, "")
	f("mode: enforce\n"+token, false, "")
	f("mode: enforce\ntrust_loopback: true\n", false, "trust_loopback: true lets every process on this host")
	f("trust_loopback: true\n", true, "trust_loopback: true changes nothing here")
	f("trust_loopback: true\n"+token, false, "trust_loopback: true changes nothing here")
}

// TestNewClock keeps its mark in the journal, so that the next process notices a clock that was set
// forward meanwhile.
func TestNewClock(t *testing.T) {
	j := journal.OpenMemory(journal.Options{Logger: slog.New(slog.DiscardHandler)})
	defer j.Close()
	now := time.Now()
	at := func() time.Time { return now }
	open := func() *journal.Journal { return j }
	if err := NewClock(at, open).Check(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(48 * time.Hour)
	if err := NewClock(at, open).Check(); !errors.Is(err, action.ErrClockJump) {
		t.Errorf("%v, want %v", err, action.ErrClockJump)
	}
}

// TestLoadConfig: the defaults without a file, and every mistake of one.
func TestLoadConfig(t *testing.T) {
	cfg, err := LoadConfig("", new(config.Checks))
	if err != nil || !cfg.Defaults {
		t.Errorf("defaults: %+v, %v", cfg, err)
	}
	file := filepath.Join(t.TempDir(), "x.yml")
	if err := os.WriteFile(file, []byte("sample_interval: never\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadConfig(file, new(config.Checks)); !IsMistake(err) {
		t.Errorf("%v, want a mistake", err)
	}
}

// TestWarn logs every warning with its place.
func TestWarn(t *testing.T) {
	var b bytes.Buffer
	Warn(&config.Config{Warnings: config.Errors{{File: "x.yml", Line: 3, Key: "a.b", Msg: "does not exist yet"}}}, slog.New(slog.NewTextHandler(&b, nil)))
	if text := b.String(); !strings.Contains(text, `level=WARN msg=configuration file=x.yml line=3 key=a.b hint="does not exist yet"`) {
		t.Errorf("%q", text)
	}
}
