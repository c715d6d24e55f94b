package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// events are lines of go test -json for a package with a test that passes, one that is skipped and one that is
// as outcome says.
func events(outcome string) string {
	lines := []string{
		`{"Action":"start","Package":"P/internal/heap"}`,
		`{"Action":"output","Package":"P/internal/heap","Test":"TestA","Output":"=== RUN   TestA\n"}`,
		`{"Action":"output","Package":"P/internal/heap","Test":"TestA","Output":"    a_test.go:7: chatter\n"}`,
		`{"Action":"output","Package":"P/internal/heap","Test":"TestA","Output":"--- PASS: TestA (0.00s)\n"}`,
		`{"Action":"pass","Package":"P/internal/heap","Test":"TestA"}`,
		`{"Action":"output","Package":"P/internal/heap","Test":"TestB/x","Output":"=== RUN   TestB/x\n"}`,
		`{"Action":"output","Package":"P/internal/heap","Test":"TestB/x","Output":"    b_test.go:9: node is not installed\n"}`,
		`{"Action":"output","Package":"P/internal/heap","Test":"TestB/x","Output":"    --- SKIP: TestB/x (0.00s)\n"}`,
		`{"Action":"skip","Package":"P/internal/heap","Test":"TestB/x"}`,
	}
	lines = append(lines, strings.Split(outcome, "|")...)
	return strings.ReplaceAll(strings.Join(lines, "\n"), `"P/`, `"`+module+`/`)
}

const (
	passes = `{"Action":"output","Package":"P/internal/heap","Output":"PASS\n"}|{"Action":"output","Package":"P/internal/heap","Output":"ok  \theap\t0.1s\n"}|{"Action":"pass","Package":"P/internal/heap"}`
	fails  = `{"Action":"output","Package":"P/internal/heap","Test":"TestC","Output":"    c_test.go:3: broken\n"}|` +
		`{"Action":"output","Package":"P/internal/heap","Test":"TestC","Output":"--- FAIL: TestC (0.00s)\n"}|{"Action":"fail","Package":"P/internal/heap","Test":"TestC"}|` +
		`{"Action":"output","Package":"P/internal/heap","Output":"FAIL\theap\t0.1s\n"}|{"Action":"fail","Package":"P/internal/heap"}`
	panics = `{"Action":"output","Package":"P/internal/heap","Test":"TestC","Output":"panic: oh\n"}|{"Action":"fail","Package":"P/internal/heap"}`
	breaks = `{"ImportPath":"P/x","Action":"build-output","Output":"x.go:1: syntax error\n"}|{"Action":"fail","Package":"P/internal/heap"}`
)

func TestReport(t *testing.T) {
	const skipped = "skipped 1:\n  internal/heap.TestB/x: node is not installed\n"
	for _, tc := range []struct {
		name, in string
		required bool
		want     string
		err      string
	}{
		{"passes", events(passes), false, "ok  \theap\t0.1s\n" + skipped, ""},
		{"a program is missing", events(passes), true, "ok  \theap\t0.1s\n" + skipped, "programs are missing: internal/heap.TestB/x"},
		{"a right is missing", strings.ReplaceAll(events(passes), "node is not installed", "needs root"), true, "ok  \theap\t0.1s\nskipped 1:\n  internal/heap.TestB/x: needs root\n", ""},
		{"fails", events(fails), false, "    c_test.go:3: broken\n--- FAIL: TestC (0.00s)\nFAIL\theap\t0.1s\n" + skipped, "failed: internal/heap"},
		{"panics", events(panics), false, "panic: oh\n" + skipped, "failed: internal/heap"},
		{"does not build", events(breaks), false, "x.go:1: syntax error\n" + skipped, "failed: internal/heap"},
		{"nothing ran", "", false, "", "no package was tested"},
		{"go fails", "go: no such pattern\n", false, "go: no such pattern\n", "no package was tested"},
	} {
		var out bytes.Buffer
		err := report(strings.NewReader(tc.in), &out, tc.required)
		if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.err)
		}
		if out.String() != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, out.String(), tc.want)
		}
	}
}

// install runs .ci/install with no program of the tests installed, and returns what it asked of apt-get and of
// systemctl, and its exit status. The host is one that runs systemd.
func install(t *testing.T, user, group string, env ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(filepath.Join(dir, "systemd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"bash", "sort", "mkdir", "mv", "rm", "cat", "chmod", "env"} {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, program)); err != nil {
			t.Fatal(err)
		}
	}
	fakes := map[string]string{
		"id":        "echo " + user,
		"systemctl": `echo "systemctl $*" >>"$ASKED"`,
		"go":        `mkdir -p "$GOBIN"; for name in "$@"; do :; done; name=${name##*/}; echo >"$GOBIN/${name%@*}"`,
		"apt-get":   `echo "apt-get $*" >>"$ASKED"; if [ "$1" = install ]; then if [ -x "$SPILLWAY_POLICY" ]; then bash "$SPILLWAY_POLICY" || echo "starts are refused: $?" >>"$ASKED"; fi; fi`,
	}
	for name, text := range fakes {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!"+bin+"/bash\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	asked := filepath.Join(dir, "asked")
	cmd := exec.Command(filepath.Join(bin, "bash"), "../../.ci/install", group)
	cmd.Env = append([]string{"PATH=" + bin, "HOME=" + dir, "ASKED=" + asked, "SPILLWAY_POLICY=" + filepath.Join(dir, "policy-rc.d"), "SPILLWAY_SYSTEMD=" + filepath.Join(dir, "systemd")}, env...)
	said, err := cmd.CombinedOutput()
	text, _ := os.ReadFile(asked) // there is none when nothing was asked
	if _, left := os.Stat(filepath.Join(dir, "policy-rc.d")); left == nil {
		t.Error("the policy was left behind")
	}
	return string(text) + string(said), err
}

// What make test installs starts nothing; what the end-to-end tests install is not started either.
func TestInstall(t *testing.T) {
	servers := []string{" prometheus ", " prometheus-alertmanager ", " prometheus-node-exporter ", " prometheus-process-exporter", " nginx", " logrotate"}
	out, err := install(t, "0", "")
	if err != nil || !strings.Contains(out, " nodejs ") || !strings.Contains(out, " default-jdk-headless ") {
		t.Errorf("make test installs %s, %v", out, err)
	}
	for _, server := range servers {
		if strings.Contains(out+" ", server) {
			t.Errorf("make test installs %s", server)
		}
	}
	out, err = install(t, "0", "e2e")
	for _, want := range append(servers, "starts are refused: 101", "systemctl disable --quiet ") {
		if err != nil || !strings.Contains(out+" ", want) {
			t.Errorf("install e2e: no %q: %s, %v", want, out, err)
		}
	}
}

// Without root nothing is installed. That is an error where programs are required.
func TestInstallWithoutRoot(t *testing.T) {
	out, err := install(t, "1000", "")
	if err != nil || strings.Contains(out, "apt-get") || !strings.Contains(out, "not installed: ") || !strings.Contains(out, "nodejs") {
		t.Errorf("%s, %v", out, err)
	}
	if out, err = install(t, "1000", "", "SPILLWAY_REQUIRED=1"); err == nil || !strings.Contains(out, "nodejs") {
		t.Errorf("required: %s, %v", out, err)
	}
}
