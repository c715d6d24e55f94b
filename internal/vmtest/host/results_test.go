package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/vmtest"
)

const printed = `=== RUN   TestUnitA
=== ATTR  TestUnitA what the unit starts
--- PASS: TestUnitA (1.00s)
=== RUN   TestUnitB
=== ATTR  TestUnitB what it comes back
    unit_test.go:1: no
--- FAIL: TestUnitB (1.00s)
=== RUN   TestUnitC
=== ATTR  TestUnitC what it hangs
panic: test timed out
`

func reported(t *testing.T, code int) *results {
	t.Helper()
	r := newResults(t.TempDir())
	for _, msg := range []vmtest.Message{
		{Boot: 1, Kernel: "6.1", Systemd: "systemd 252 (252.39-1~deb12u2)"},
		{Program: "unit", Output: printed[:40]},
		{Program: "unit", Output: printed[40:]},
		{Program: "unit", Ended: true, Code: code},
	} {
		if err := r.take(msg); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestTable(t *testing.T) {
	want := `| what | kernel | systemd | result |
|---|---|---|---|
| the unit starts | 6.1 | 252 | works |
| it comes back | 6.1 | 252 | **fails** |
| it hangs | 6.1 | 252 | **did not end** |
`
	r := reported(t, 1)
	if got := r.table(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if text, err := os.ReadFile(filepath.Join(r.dir, "unit.txt")); err != nil || string(text) != printed {
		t.Errorf("unit.txt: %v, %q", err, text)
	}
}

func TestFailure(t *testing.T) {
	programs := []vmtest.Program{{Name: "unit"}}
	if err := reported(t, 0).failure(programs); err != nil {
		t.Error(err)
	}
	for want, err := range map[string]error{
		"unit failed":        reported(t, 1).failure(programs),
		"later did not end":  reported(t, 0).failure([]vmtest.Program{{Name: "unit"}, {Name: "later"}}),
		"unit ran no test":   (&results{outputs: map[string]*strings.Builder{"unit": {}}, codes: map[string]int{"unit": 0}}).failure(programs),
		"it fell and reboot": reported(t, 0).take(vmtest.Message{Boot: 1}),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A machine may be silent while it is tested, but neither while it boots nor while it goes down.
func TestFollowSilence(t *testing.T) {
	f := func(name string, want error, messages ...vmtest.Message) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			m := machine{out: t.TempDir()}
			sent, heard, ended := make(chan vmtest.Message), make(notifier, 1), make(chan error, 1)
			go func() {
				<-time.After(silence - time.Second)
				_, _ = heard.Write(nil)
				<-time.After(silence - time.Second)
				for _, msg := range messages {
					sent <- msg
				}
				<-time.After(2 * silence)
				ended <- nil
			}()
			if _, err := m.follow(t.Context(), newResults(m.out), sent, heard, ended); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
			<-time.After(3 * silence) // the sender ends
		})
	}
	f("nothing comes", errSilent)
	f("up", errEnded, vmtest.Message{Boot: 1})
	f("down", errSilent, vmtest.Message{Boot: 1}, vmtest.Message{Reboot: true})
	f("done", nil, vmtest.Message{Boot: 1}, vmtest.Message{Done: true})
}

func TestUpdateTable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.md")
	if err := os.WriteFile(file, []byte("a\n"+beginMark+"| what |\n| a | old |\n| b | old |\n"+endMark+"\nb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := updateTable(file, "| what |\n| c | new |\n| b | new |\n"); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(file); string(text) != "a\n"+beginMark+"| what |\n| a | old |\n| b | new |\n| c | new |\n"+endMark+"\nb\n" {
		t.Errorf("%q", text)
	}
	if err := os.WriteFile(file, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if updateTable(file, "new\n") == nil {
		t.Error("a file without marks is accepted")
	}
}

// Every test in the machine belongs to a program, and the documentation has its row. A part of a test
// that is a function of its own (testX) may have a row too.
func TestGuestTestsAreRunAndDocumented(t *testing.T) {
	docs, err := os.ReadFile("../../../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../guest/*_test.go")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	test := regexp.MustCompile(`(?m)^func ([Tt]est\w+)\(t \*testing\.T[^)]*\) \{\n\twhat\(t, "(.*)"\)$`)
	all := regexp.MustCompile(`(?m)^func Test`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		begun := 0
		for _, m := range test.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(string(docs), "| "+m[2]+" |") {
				t.Errorf("docs/install.md has no row %q of %s: make vm-test UPDATE=1", m[2], m[1])
			}
			if strings.HasPrefix(m[1], "test") {
				continue
			}
			begun++
			programs := 0
			for _, p := range vmtest.Programs {
				if regexp.MustCompile(p.Run).MatchString(m[1]) {
					programs++
				}
			}
			if programs != 1 {
				t.Errorf("%s is run by %d programs, want one: see vmtest.Programs", m[1], programs)
			}
		}
		if want := len(all.FindAll(text, -1)); begun != want {
			t.Errorf("%s: %d of %d tests begin with what(t, ...)", file, begun, want)
		}
	}
}
