package config

import (
	"slices"
	"strings"
	"testing"
)

// TestModeIsReportedOnce: a mistake at the top is not one of each target that takes its mode from there.
func TestModeIsReportedOnce(t *testing.T) {
	f := func(doc string, keys ...string) {
		t.Helper()
		_, err := Parse("f.yml", []byte(doc))
		if err == nil {
			t.Fatalf("%s is accepted", doc)
		}
		got := strings.Split(err.Error(), "\n")
		for i, line := range got {
			if len(got) != len(keys) || !strings.Contains(line, ": "+keys[i]+": ") {
				t.Fatalf("%s: %v, want one for each of %q", doc, err, keys)
			}
		}
	}
	const targets = `
targets:
  - name: a
    processes: {match: {comm: a}}
  - name: b
    MODE
    processes: {match: {comm: b}}
`
	own := func(mode string) string { return strings.ReplaceAll(targets, "MODE", mode) }
	f("mode: dry"+own(""), "mode")
	f("mode: dry"+own("mode: enforced"), "mode", "targets[1].mode")
	f("mode: dry"+own("mode: dry"), "mode", "targets[1].mode")
	f("mode: enforce"+own("mode: dry"), "targets[1].mode")
	f("mode: [a]"+own(""), "mode")
}

// TestDigest: what a proposal is bound to changes with all that is written about a target, and with nothing else.
func TestDigest(t *testing.T) {
	const doc = `
mode: propose
x: &names ['*.wav']
targets:
  - name: a
    temp_dirs: [{name: t, dir: /var/tmp/t, include: *names, max_age: 1h}]
  - name: b
    processes: {match: {comm: b}}
`
	digests := func(doc string) []string {
		t.Helper()
		c, _ := parse("f.yml", []byte(doc), new(Checks))
		if c == nil || len(c.Targets) != 2 {
			t.Fatalf("%s cannot be read", doc)
		}
		return []string{c.Targets[0].Digest, c.Targets[1].Digest}
	}
	was := digests(doc)
	if was[0] == was[1] || was[0] == "" || !slices.Equal(was, digests("# a comment\n"+strings.ReplaceAll(doc, "\n  ", "\n"))) {
		t.Errorf("%q", was)
	}
	for _, tt := range []struct {
		old, new string
		a, b     bool // the digest changes
	}{
		{"max_age: 1h", "max_age: 2h", true, false},
		{"*.wav", "*.mp3", true, true},
		{"comm: b", "comm: c", false, true},
		{"mode: propose", "mode: enforce", true, true},
	} {
		is := digests(strings.Replace(doc, tt.old, tt.new, 1))
		if a, b := is[0] != was[0], is[1] != was[1]; a != tt.a || b != tt.b {
			t.Errorf("%s: changed %v and %v", tt.new, a, b)
		}
	}
}

// TestProposeIsNoDryRun: where anything may be approved, the same proof is wanted as where everything is enforced.
func TestProposeIsNoDryRun(t *testing.T) {
	const targets = "\ntargets: [{name: a, processes: {match: {comm: a}}}]"
	for mode, want := range map[string]bool{DryRun: false, Propose: true, Enforce: true} {
		c, err := Parse("f.yml", []byte("mode: "+mode+targets))
		if err != nil {
			t.Fatal(err)
		}
		if c.Enforces() != want || c.TrustsLoopback() == want || (c.CheckListener([]string{":10042"}, false) != nil) != want {
			t.Errorf("%s: enforces %v, trusts callers on this host %v", mode, c.Enforces(), c.TrustsLoopback())
		}
	}
}
