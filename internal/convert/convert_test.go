package convert

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestParseSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"10d": 240 * time.Hour, "1w2d3h4min5s": (9*24+3)*time.Hour + 4*time.Minute + 5*time.Second, "90": 90 * time.Second, "500ms": 500 * time.Millisecond, "1 h 30 m": 90 * time.Minute, "0": 0,
		"": -1, "x": -1, "1x": -1, "d1": -1, "-1d": -1, "1.5h": -1, "292y": 292 * 31557600 * time.Second, "293y": -1, "585y": -1, "200y100y": -1, "2147483647w": -1,
	} {
		got, err := parseSpan(text)
		if want < 0 && err == nil || want >= 0 && (err != nil || got != want) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
}

// TestMeasure: what is measured here is never older than what is measured there.
func TestMeasure(t *testing.T) {
	for letters, want := range map[string]string{"": "all", "m": "mtime", "c": "newest", "b": "newest", "bm": "newest", "cm": "newest", "a": "atime", "am": "atime", "ac": "all", "ab": "all", "abm": "all", "aM": "atime"} {
		text := "1d"
		if letters != "" {
			text = letters + ":1d"
		}
		a, err := parseTmpAge(text)
		exact := slices.Contains([]string{"", "m", "c", "cm", "am", "ac"}, letters)
		if err != nil || a.by != want || exact != (len(a.notes) == 0) {
			t.Errorf("%q: %+v, %v, want %s", text, a, err, want)
		}
	}
}

func TestSplitQuoted(t *testing.T) {
	f := func(line string, want ...string) {
		t.Helper()
		got, ok := splitQuoted(line)
		if diff := cmp.Diff(want, got); diff != "" || !ok {
			t.Errorf("%q: %v\n%s", line, ok, diff)
		}
	}
	f(`d "/a b" - -`, "d", "/a b", "-", "-")
	f(`d '/a\b'	x\ y ""`, "d", `/a\b`, "x y", "")
	if _, ok := splitQuoted(`"a`); ok {
		t.Error("an open quote was accepted")
	}
}

// TestReadScript: a script that sends one signal, and does nothing else, is understood.
func TestReadScript(t *testing.T) {
	f := func(script, signal, processes string) {
		t.Helper()
		s, p, ok := readScript(script)
		if s != signal || p != processes || ok != (signal != "") {
			t.Errorf("%q: %q, %q, %v, want %q, %q", script, s, p, ok, signal, processes)
		}
	}
	f("kill -USR1 `cat /run/a.pid`", "SIGUSR1", "{match: {pidfile: /run/a.pid}}")
	f("if [ -f /run/a.pid ]; then\n\tkill -s HUP $(cat /run/a.pid)\nfi", "SIGHUP", "{match: {pidfile: /run/a.pid}}")
	f("[ ! -f /run/nginx.pid ] || kill -USR1 `cat /run/nginx.pid`", "SIGUSR1", "{match: {pidfile: /run/nginx.pid}}")
	f("/bin/kill -10 $(< /run/a.pid) 2>/dev/null || true", "SIGUSR1", "{match: {pidfile: /run/a.pid}}")
	f("pkill -HUP -x shopd", "SIGHUP", "{match: {comm: shopd}}")
	f("killall -q -USR2 shopd", "SIGUSR2", "{match: {comm: shopd}}")
	f("systemctl kill -s USR1 shop", "SIGUSR1", "{match: {systemd_unit: shop.service}}")
	f("systemctl kill --kill-who=main --signal=SIGHUP shop@1.service", "SIGHUP", "{match: {systemd_unit: 'shop@1.service'}}")
	f("", "", "")
	f("systemctl reload shop", "", "")
	f("kill -USR1 `cat $PIDFILE`", "", "")
	f("kill -USR1 `cat /run/a.pid`\nrm -f /x", "", "")
	f("kill -USR1 `cat /run/a.pid`\nkill -HUP `cat /run/b.pid`", "", "")
}

// check: whatever the file is, the text is YAML, and what was not said stands in it.
func check(t *testing.T, text []byte, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, ErrNothing) {
		return
	}
	var out any
	if err := yaml.Unmarshal(text, &out); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
}

func FuzzTmpfiles(f *testing.F) {
	f.Add("d /srv/a - - - 10d\nx /srv/a/*\nq \"/b c\" - - - am:~1w\nD /srv/%t - - - 0\n")
	f.Fuzz(func(t *testing.T, text string) {
		out, err := Tmpfiles("x.conf", []byte(text))
		check(t, out, err)
	})
}

func FuzzLogrotate(f *testing.F) {
	f.Add("size 1k\n/srv/a/*.log \"/srv/b c/x\" {\n rotate 3\n daily\n postrotate\n kill -HUP `cat /run/x.pid`\n endscript\n}\n/srv/c { }")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "include") {
			return // what else the host has
		}
		out, err := Logrotate("x.conf", []byte(text))
		check(t, out, err)
	})
}
