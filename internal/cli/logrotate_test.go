package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSameVictimsAsLogrotate: the logs that would be rotated are those that logrotate rotates.
func TestSameVictimsAsLogrotate(t *testing.T) {
	tool, err := exec.LookPath("logrotate")
	if err != nil {
		t.Skip("needs logrotate: .ci/install")
	}
	sizes := map[string]int{"a/app.log": 3000, "a/error.log": 500, "a/.hidden.log": 9000, "a/empty.log": 0, "a/sub/deep.log": 9000, "b/x.log": 20000, "b/y.txt": 9000, "b/name with blank.log": 9000, "c/big.log": 1 << 21, "c/small.log": 1000, "d/due.log": 100, "d/due.log-20260102": 50}
	tests := []struct {
		name, config string
		policies     int    // that are written, not as comments
		says         string // in the text
	}{
		{"size", "DIR/a/*.log {\n size 1k\n rotate 3\n copytruncate\n missingok\n}", 1, "max_bytes: 1KiB, keep_files: 3, rotate: copy_truncate"},
		{"the default size", "DIR/c/*.log {\n rotate 2\n copytruncate\n}", 1, "max_bytes: 1MiB"},
		{"of the file and in one line", "size 1k\nrotate 2\ncopytruncate\nDIR/a/*.log DIR/b/*.log { }\n# DIR/c/*.log {}\nDIR/c/*.log { size=1M \n}", 3, "keep_files: 2"},
		{"quotes and a brace of its own line", "\"DIR/b/name with blank.log\"\nDIR/b/x.log\n{\n size 5k\n rotate 1\n}", 1, "include: ['name with blank.log', x.log]"},
		{"maxsize", "DIR/a/*.log {\n daily\n maxsize 2k\n rotate 7\n compress\n dateext\n}", 1, "max_bytes: 2KiB, rotate_after: 1d, keep_files: 7, date_ext: true, compress: true"},
		{"minsize", "DIR/a/*.log {\n size 100\n minsize 2k\n rotate 7\n notifempty\n create 0640 root root\n}", 1, "max_bytes: 100"},
		{"classes and single names", "DIR/a/[!a-d]*.log {\n size 100\n}\nDIR/a/app.log {\n size 100k\n}", 2, "include: ['[^a-d]*.log']"},
		{"a signal to the process of a file", "DIR/b/*.log {\n size 10k\n rotate 4\n maxage 30\n postrotate\n  [ -f /run/shop.pid ] && kill -USR1 `cat /run/shop.pid`\n endscript\n}", 1, "    processes: {match: {pidfile: /run/shop.pid}}\n"},
		{"an include", "include DIR/conf.d\nDIR/b/*.txt {\n size 1k\n}", 2, "rotate: copy_truncate"},
		{"su and olddir and scripts", "DIR/a/app.log {\n su root root\n size 1k\n olddir DIR/a/sub\n rotate 2\n sharedscripts\n prerotate\n  true\n endscript\n postrotate\n  systemctl reload shop\n endscript\n}", 1, "# postrotate is not a signal that is understood here, and is not said: systemctl reload shop"},
		{"by time alone", "DIR/c/big.log {\n weekly\n rotate 4\n}\nDIR/b/x.log {\n size 1k\n}", 2, "size_by: apparent, rotate_after: 7d, keep_files: 4, rotate"},
		{"by time and due", "DIR/d/*.log {\n daily\n rotate 7\n dateext\n}\nDIR/b/y.txt {\n monthly\n rotate 0\n dateext\n}", 2, "# monthly is said as every 30d\n      # rotate 0 with a time: one rotated log stays"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := realDir(t)
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, size := range sizes {
				writeTest(t, filepath.Join(dir, name), strings.Repeat("x", size))
			}
			writeTest(t, filepath.Join(dir, "conf.d/shop"), "DIR/a/error.log {\n size 100\n}\n")
			writeTest(t, filepath.Join(dir, "conf.d/old.dpkg-old"), "nonsense {")
			for _, name := range []string{"x.conf", "conf.d/shop"} {
				text := test.config
				if name != "x.conf" {
					text = "DIR/a/error.log {\n size 100\n}\n"
				}
				writeTest(t, filepath.Join(dir, name), strings.ReplaceAll(text, "DIR", dir))
			}
			writeTest(t, filepath.Join(dir, "state"), "logrotate state -- version 2\n\""+dir+"/d/due.log\" 2026-1-2-1:2:3\n")
			conf := filepath.Join(dir, "x.conf")
			r := runLine(t, "export", "--from-logrotate="+conf)
			policies := strings.Count(r.out, "\n      - {name: ")
			if r.code != ExitOK || policies != test.policies || !strings.Contains(r.out, test.says) {
				t.Errorf("%d policies, want %d and %q:\n%+v", policies, test.policies, test.says, r)
			}
			// A process that is not there opens no log: the same logs, copied.
			text := strings.NewReplacer("rotate: rename, signal: SIGUSR1", "rotate: copy_truncate").Replace(r.out)
			got := planned(t, text, "rotated")
			if out, err := exec.CommandContext(t.Context(), tool, "-s", filepath.Join(dir, "state"), conf).CombinedOutput(); err != nil && !strings.Contains(string(out), "postrotate") {
				t.Fatalf("%v: %s", err, out)
			}
			var want []string
			for name, size := range sizes {
				path := filepath.Join(dir, name)
				if info, err := os.Stat(path); err != nil || info.Size() != int64(size) {
					want = append(want, path)
				}
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-logrotate +ours:\n%s\n%s", diff, r.out)
			}
			if len(want) == 0 {
				t.Error("nothing was rotated: the comparison says nothing")
			}
		})
	}
}

// TestImportsSayWhatTheyCannot: what has no counterpart is a comment with its reason, and a file of such lines alone is an error.
func TestImportsSayWhatTheyCannot(t *testing.T) {
	dir := realDir(t)
	f := func(flag, text string, code int, says ...string) {
		t.Helper()
		file := filepath.Join(dir, "in")
		writeTest(t, file, strings.ReplaceAll(text, "DIR", dir))
		r := runLine(t, "export", flag+"="+file)
		if r.code != code {
			t.Errorf("%q: %+v, want the code %d", text, r, code)
		}
		for _, want := range says {
			if !strings.Contains(r.out+r.errs, strings.ReplaceAll(want, "DIR", dir)) {
				t.Errorf("%q: %+v, want %q", text, r, want)
			}
		}
	}
	const nothing = "nothing in it can be said as a policy: the reasons are in the comments"
	f("--from-tmpfiles", "q /tmp 1777 root root 10d", ExitConfig, `# in:1: q /tmp 1777 root root 10d: "/tmp" is a system directory`, nothing)
	f("--from-tmpfiles", "d /etc/app - - - 1d", ExitConfig, `"/etc/app" is a system directory`)
	f("--from-tmpfiles", "d DIR/a - - - ~1d\nd DIR/b - - - 1x\ne DIR/*/c - - - 1d\nd DIR/%b - - - 1d\nd DIR/d - - - A:1d\nonly\n", ExitConfig,
		"in:1: d DIR/a - - - ~1d: ~ spares what lies in the folder itself, which cannot be said", `in:2: d DIR/b - - - 1x: "1x" is not an age`, "in:3: e DIR/*/c - - - 1d: has wildcards, and dir is one folder",
		"in:4: d DIR/%b - - - 1d: has a specifier that depends on the host", `in:5: d DIR/d - - - A:1d: no time of a file is measured by ""`, "in:6: only: is not a line of tmpfiles.d")
	f("--from-tmpfiles", "d DIR/a - - - a:1d\nD DIR/b - - - b:1d", ExitOK, `# "a" is not measured here alone: some files stay for longer`, "max_age: 1d, age_by: atime", `# "b" is not`, "age_by: newest", "# the folder is emptied at boot, too")
	f("--from-tmpfiles", "", ExitConfig, nothing)
	f("--from-logrotate", "/var/log/*.log {\n size 1k\n}", ExitConfig, `"/var/log" is a system directory`, nothing)
	f("--from-logrotate", "DIR/*/a.log {\n size 1k\n}", ExitConfig, "the folder has wildcards, and dir is one folder")
	f("--from-logrotate", "DIR/a.log {\n hourly\n rotate 7\n dateext\n olddir /else/where\n}", ExitOK, "# in:1: DIR/a.log", "rotate_after: 1h, keep_files: 7, rotate: copy_truncate, every: 1h", "# no counterpart: names with a date of another form", "# no counterpart: olddir /else/where, which is not")
	f("--from-logrotate", "DIR/a.log {\n weekly\n rotate 7\n maxage 3\n}", ExitConfig, "max_age: 3d is less than rotate_after", nothing)
	f("--from-logrotate", "DIR/a.log {\n daily\n minsize 1M\n dateext\n dateformat -%s\n}", ExitOK, "# daily with minsize: here a log goes as soon as it is larger", "max_bytes: 1MiB, keep_files: 0, rotate")
	f("--from-logrotate", "DIR/*.log {\n size 1k\n}\nDIR/a.log {\n size 2k\n}", ExitOK, "# in:4: DIR/a.log: overlaps the policy of DIR, and a file \"a.log\" in it could belong to both")
	f("--from-logrotate", "DIR/a.log {\n size 1k\n rotate -1\n create 0640 nosuchuser x\n mail me@example.org\n}", ExitOK, "# rotate -1: at most 1000 are kept", `# owner is not written: no user "nosuchuser"`, "# no counterpart: mail me@example.org")
	f("--from-logrotate", "DIR/a.log {\n size 1k", ExitConfig, "a section is not closed with }")
	f("--from-logrotate", "DIR/a.log {\n postrotate\n x\n}", ExitConfig, "postrotate without endscript")
	f("--from-logrotate", "rotate x", ExitConfig, `in:1: rotate: "x" is not a number: write one such as rotate 7`)
	f("--from-logrotate", "DIR/a.log {\n size 1k\n maxage 213504\n}", ExitOK, "# maxage 213504: nothing is that old", "keep_files: 0, rotate: copy_truncate, every: 1d")                  // 213504 days wrap around to 9 minutes
	f("--from-tmpfiles", "d DIR/a - - - 585y\nd DIR/b - - - 200y100y", ExitConfig, `# in:1: d DIR/a - - - 585y: the age "585y" is longer than 292 years`, `the age "200y100y" is longer`) // 585 years wrap around to 168 days
	if r := runLine(t, "export", "--from-logrotate=a", "--from-tmpfiles=b"); r.code != ExitConfig || !strings.Contains(r.errs, "are two files") {
		t.Errorf("%+v", r)
	}
	if r := runLine(t, "export", "--from-logrotate="+filepath.Join(dir, "none")); r.code != ExitConfig || !strings.Contains(r.errs, "no such file") {
		t.Errorf("%+v", r)
	}
}
