package action

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// logrotate runs the real program over a folder, at a time.
func logrotate(t *testing.T, dir, directives string, at time.Time) {
	t.Helper()
	var argv []string
	for _, program := range []string{"faketime", "logrotate"} {
		path, err := exec.LookPath(program)
		if err != nil && program == "logrotate" {
			path = "/usr/sbin/logrotate"
			_, err = os.Stat(path)
		}
		if err != nil {
			t.Skipf("%s is not installed", program)
		}
		argv = append(argv, path)
	}
	config, state := dir+".conf", dir+".state"
	text := fmt.Sprintf("%s/*.log {\n%s\nmissingok\nnotifempty\nsu root root\n}\n", dir, strings.ReplaceAll(directives, ";", "\n"))
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(state); err != nil { // without one the first run only notes the logs
		logs, _ := filepath.Glob(dir + "/*.log")
		text = "logrotate state -- version 2\n"
		for _, log := range logs {
			text += fmt.Sprintf("%q %s\n", log, at.AddDate(0, 0, -1).Format("2006-1-2-15:04:05"))
		}
		if err := os.WriteFile(state, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	argv = []string{argv[0], "-f", at.Format("2006-01-02 15:04:05"), argv[1], "--state", state, config}
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", argv, err, out)
	}
}

// contents returns what the files of a folder hold, by what keep says of their paths; sorted.
func contents(t *testing.T, dir string, as func(path, text string) string) []string {
	t.Helper()
	var out []string
	for _, path := range left(t, dir) {
		raw, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, as(path, string(raw)))
	}
	slices.Sort(out)
	return out
}

// TestAlongsideLogrotate: for the same sequence of days and writes, logrotate and rotate_logs keep the same
// files: where both name by the day under the same names, else with the same content.
func TestAlongsideLogrotate(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("logrotate is run as root")
	}
	byName := func(path, text string) string { return path + ": " + text }
	byContent := func(_, text string) string { return text }
	tests := []struct {
		name       string
		directives string
		policy     func(*policy.Log)
		as         func(path, text string) string
	}{
		{"daily by the day", "daily;rotate 3;copytruncate;dateext", func(p *policy.Log) { p.RotateAfter, p.DateExt = aDay, true }, byName},
		{"daily by numbers and times", "daily;rotate 3;copytruncate", func(p *policy.Log) { p.RotateAfter = aDay - units.Duration(2*time.Hour) }, byContent},
		{"by size", "size 100;rotate 2;copytruncate", func(p *policy.Log) { p.MaxBytes, p.KeepFiles = 100, new(int64(2)) }, byContent},
		{"by size or day", "daily;maxsize 100;rotate 3;copytruncate;dateext", func(p *policy.Log) { p.MaxBytes, p.RotateAfter, p.DateExt = 100, aDay, true }, byName},
		{"into a folder", "daily;rotate 2;copytruncate;dateext;olddir old;createolddir 755 root root", func(p *policy.Log) {
			p.RotateAfter, p.DateExt, p.OldDir, p.KeepFiles = aDay, true, "old", new(int64(2))
		}, byName},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			theirs := realDir(t) + "/logs"
			ours, p, o := logPolicy(t)
			if err := os.Mkdir(theirs, 0o755); err != nil {
				t.Fatal(err)
			}
			p.KeepFiles, p.MaxBytes, p.Recursive, p.MinAge = new(int64(3)), 0, new(false), new(units.Duration)
			tt.policy(&p)
			p.Validate(func(key, format string, args ...any) { t.Errorf(key+" "+format, args...) })
			day := time.Now()
			day = time.Date(day.Year(), day.Month(), day.Day(), 3, 0, 0, 0, time.Local).AddDate(0, 0, 2) // the logs are made today
			for _, log := range []string{"app.log", "quiet.log"} {
				appendLine(t, filepath.Join(theirs, log), "first\n")
				appendLine(t, filepath.Join(ours, log), "first\n")
			}
			for n := range 8 {
				at := day.AddDate(0, 0, n)
				for log, size := range map[string]int{"app.log": 40 + 40*(n%3), "quiet.log": 10 * (n % 2)} {
					if size == 0 {
						continue
					}
					for _, dir := range []string{theirs, ours} {
						appendLine(t, filepath.Join(dir, log), fmt.Sprintf("%s, day %d %s\n", log, n, strings.Repeat("x", size)))
					}
				}
				o.Now = func() time.Time { return at }
				logrotate(t, theirs, tt.directives, at)
				if res, err := newRotateLogs(o, []policy.Log{p}).Run(t.Context(), Request{}); err != nil || res.Outcome != Done {
					t.Fatalf("%+v, %v", res, err)
				}
				if diff := gocmp.Diff(contents(t, theirs, tt.as), contents(t, ours, tt.as)); diff != "" {
					t.Fatalf("day %d (-logrotate +rotate_logs):\n%s", n, diff)
				}
			}
			if n := len(left(t, ours)); n < 4 {
				t.Errorf("only %d files are left: nothing was compared", n)
			}
		})
	}
}

// appendLine adds to a log that no one has written to for a minute since.
func appendLine(t *testing.T, path, line string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(line); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Minute)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}
