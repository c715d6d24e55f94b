package deploy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/needs"
)

// newestOf418 is the number of the newest system call of Linux 4.18 on amd64, rseq
// (arch/x86/entry/syscalls/syscall_64.tbl): those that came later have higher numbers.
const newestOf418 = 334

// systemCallNumbers reads the numbers of amd64 from x/sys.
func systemCallNumbers(t *testing.T) map[string]int {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(strings.TrimSpace(string(dir)), "unix", "zsysnum_linux_amd64.go")
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]int)
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
			if number, ok := v.Values[0].(*ast.BasicLit); ok {
				out[strings.ToLower(strings.TrimPrefix(v.Names[0].Name, "SYS_"))], _ = strconv.Atoi(number.Value)
			}
		}
		return true
	})
	if out["rseq"] != newestOf418 || len(out) < 300 {
		t.Fatalf("%d numbers, rseq is %d", len(out), out["rseq"])
	}
	return out
}

// calledInKernel returns the system calls that the exporter makes.
func calledInKernel(t *testing.T) map[string]bool {
	t.Helper()
	calls, numbers := usesOfUnix(t, "SYS_")
	out := make(map[string]bool)
	for name := range calls {
		if call, ok := systemCalls[name]; !ok {
			out[strings.ToLower(name)] = true
		} else if call != "" {
			out[call] = true
		}
	}
	for name := range numbers {
		out[strings.ToLower(name)] = true
	}
	for _, call := range runtimeCalls {
		out[call] = true
	}
	return out
}

var tableLine = regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\| (\\d+\\.\\d+) \\| .+ \\|$")

// The table of install.md names every call that is newer than the oldest kernel, and no call that is
// not made; the end-to-end test refuses each of them.
func TestNewSystemCallsAreDocumented(t *testing.T) {
	_, section, ok := strings.Cut(read(t, "../docs/install.md"), "\n## Older kernels and filters\n")
	if !ok {
		t.Fatal("install.md has no section about older kernels")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	documented := make(map[string]string)
	for _, m := range tableLine.FindAllStringSubmatch(section, -1) {
		documented[m[1]] = m[2]
	}
	if !maps.Equal(documented, needs.Calls) {
		t.Errorf("the table says %v, want %v", documented, needs.Calls)
	}
	called, numbers := calledInKernel(t), systemCallNumbers(t)
	for _, call := range slices.Sorted(maps.Keys(called)) {
		if numbers[call] > newestOf418 && documented[call] == "" {
			t.Errorf("%s (number %d) is newer than Linux 4.18: give it a stand-in or a refusal that names it, and a line in the table of install.md", call, numbers[call])
		}
	}
	refused := read(t, "../internal/e2e/refused_test.go")
	for call := range documented {
		if !called[call] {
			t.Errorf("%s stands in the table and is not called", call)
		}
		if !strings.Contains(refused, `{"`+call+":") {
			t.Errorf("%s is not refused in internal/e2e/refused_test.go", call)
		}
	}
}
