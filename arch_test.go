package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/spillway-exporter/spillway_exporter"

// vocabulary are packages of types and pure functions that every room may use.
var vocabulary = []string{"internal/units", "internal/series", "internal/alert", "internal/policy"}

// house is the table of who may import what of ours, beside the vocabulary. A folder that is not
// listed here is an error, so that a new room is a decision.
var house = map[string][]string{
	"":                      {"internal/app"},
	"collector":             {"internal/dirscan", "internal/fetch", "internal/heap", "internal/hitrate", "internal/lazy", "internal/proc"},
	"rules":                 {},
	"deploy/node-agent":     {},
	"dashboards":            {},
	"internal/units":        {},
	"internal/series":       {},
	"internal/alert":        {},
	"internal/policy":       {"internal/dirscan"},
	"internal/proc":         {},
	"internal/fetch":        {},
	"internal/heap":         {"internal/fetch", "internal/proc", "internal/lazy"},
	"internal/lazy":         {},
	"internal/hitrate":      {"internal/lazy"},
	"internal/dirscan":      {},
	"internal/safefs":       {"internal/dirscan"},
	"internal/eval":         {},
	"internal/action":       {"internal/dirscan", "internal/fetch", "internal/safefs", "internal/heap", "internal/proc"},
	"internal/dispatch":     {"internal/action", "internal/journal"},
	"internal/journal":      {},
	"internal/health":       {},
	"internal/web":          {"internal/health", "internal/journal", "internal/lazy"},
	"internal/watch":        {"internal/action"},
	"internal/pull":         {"internal/fetch"},
	"internal/sdnotify":     {},
	"internal/config":       {"collector", "internal/proc", "internal/heap", "internal/dirscan", "internal/safefs", "internal/dispatch", "internal/journal", "internal/eval", "internal/watch", "internal/pull"},
	"internal/app":          {"*"},
	"internal/vmtest":       {},
	"internal/vmtest/agent": {"internal/vmtest"},
	"internal/vmtest/host":  {"internal/vmtest"},
	"examples/leaky":        {"examples/leaky/leak"},
	"examples/leaky/leak":   {},
	"examples/bench/scan":   {"internal/dirscan"},
	"examples/bench/hits":   {"internal/hitrate"},
	"examples/bench/tick":   {"internal/proc"},
	"examples/bench/evict":  {"*"},
	"examples/bench/remove": {"*"},
}

// observers must not reach, by any chain of imports, what changes the world.
var (
	observers = []string{"collector", "internal/dirscan", "internal/hitrate", "internal/proc", "internal/health", "internal/eval", "internal/web"}
	changers  = []string{"internal/safefs", "internal/action", "internal/dispatch"}
)

// powers are calls that may stand in one place only. A name is package.Function as written after
// resolving the file's imports, or .Method for a method of any value.
var powers = []struct {
	what    string
	calls   []string
	allowed []string // files or folders; a trailing slash means everything below
}{
	{
		what: "removes, moves, links or truncates files",
		calls: []string{
			"os.Remove", "os.RemoveAll", "os.Rename", "os.Truncate", "os.Link", "os.Symlink",
			"syscall.Unlink", "syscall.Unlinkat", "syscall.Rmdir", "syscall.Rename", "syscall.Renameat", "syscall.Truncate", "syscall.Ftruncate",
			"golang.org/x/sys/unix.Unlink", "golang.org/x/sys/unix.Unlinkat", "golang.org/x/sys/unix.Rmdir", "golang.org/x/sys/unix.Rename",
			"golang.org/x/sys/unix.Renameat", "golang.org/x/sys/unix.Renameat2", "golang.org/x/sys/unix.Truncate", "golang.org/x/sys/unix.Ftruncate",
			"golang.org/x/sys/unix.Fallocate", "golang.org/x/sys/unix.Linkat", "golang.org/x/sys/unix.SYS_UNLINKAT", "golang.org/x/sys/unix.SYS_RENAMEAT2",
			"golang.org/x/sys/unix.SYS_UNLINK", "golang.org/x/sys/unix.SYS_FTRUNCATE", "golang.org/x/sys/unix.SYS_TRUNCATE",
			".Truncate", ".RemoveAll",
		},
		allowed: []string{"internal/safefs/"},
	},
	{
		what:    "executes programs",
		calls:   []string{"os/exec.*", "os.StartProcess", "syscall.ForkExec", "syscall.Exec", "syscall.StartProcess", "golang.org/x/sys/unix.Exec"},
		allowed: []string{"internal/action/command.go", "internal/vmtest/"},
	},
	{
		what: "signals processes",
		calls: []string{
			"os.FindProcess", "syscall.Kill", "golang.org/x/sys/unix.Kill", "golang.org/x/sys/unix.Tgkill",
			"golang.org/x/sys/unix.PidfdSendSignal", "golang.org/x/sys/unix.SYS_KILL", "golang.org/x/sys/unix.SYS_TGKILL",
			"golang.org/x/sys/unix.SYS_PIDFD_SEND_SIGNAL", "golang.org/x/sys/unix.PtraceAttach",
		},
		allowed: []string{"internal/proc/"},
	},
	{
		what:    "links PromQL",
		calls:   []string{"github.com/prometheus/prometheus/*"},
		allowed: []string{"internal/eval/"},
	},
	{
		what:    "ends the process",
		calls:   []string{"os.Exit", "log.Fatal", "log.Fatalf"},
		allowed: []string{"main.go", "examples/", "internal/vmtest/"},
	},
}

// exceptions are single calls with a reason.
var exceptions = map[string]string{
	// The journal's own file, moved aside as a whole when it is corrupt; never a watched folder.
	"internal/journal/corrupt.go os.Rename": "a corrupt journal is moved aside",
}

type sourceFile struct {
	path    string // relative, with slashes
	dir     string
	file    *ast.File
	imports map[string]string // local name -> import path
}

func parseTree(t *testing.T) []sourceFile {
	t.Helper()
	var out []sourceFile
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "difftest" || name == "typecheck") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		src := sourceFile{path: filepath.ToSlash(path), dir: filepath.ToSlash(filepath.Dir(path)), file: f, imports: map[string]string{}}
		if src.dir == "." {
			src.dir = ""
		}
		for _, imp := range f.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			name := p[strings.LastIndex(p, "/")+1:]
			if imp.Name != nil {
				name = imp.Name.Name
			}
			src.imports[name] = p
		}
		out = append(out, src)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 40 {
		t.Fatalf("only %d source files were found: the walk is broken", len(out))
	}
	return out
}

func (s *sourceFile) ours() []string {
	var out []string
	for _, p := range s.imports {
		if rest, ok := strings.CutPrefix(p, module+"/"); ok {
			out = append(out, rest)
		}
	}
	return out
}

func TestHouseImports(t *testing.T) {
	for _, src := range parseTree(t) {
		allowed, known := house[src.dir]
		if !known {
			t.Errorf("%s: the folder %q is not in the table of the house: add it with what it may import", src.path, src.dir)
			continue
		}
		for _, p := range src.ours() {
			if !slices.Contains(allowed, p) && !slices.Contains(allowed, "*") && !slices.Contains(vocabulary, p) {
				t.Errorf("%s imports %s, which the table of the house does not allow", src.path, p)
			}
		}
	}
}

func TestObserversCannotChangeAnything(t *testing.T) {
	edges := make(map[string][]string)
	for _, src := range parseTree(t) {
		edges[src.dir] = append(edges[src.dir], src.ours()...)
	}
	for _, from := range observers {
		seen := map[string]bool{}
		var visit func(dir string, path []string)
		visit = func(dir string, path []string) {
			if seen[dir] {
				return
			}
			seen[dir] = true
			if slices.Contains(changers, dir) {
				t.Errorf("%s reaches %s", from, strings.Join(path, " -> "))
			}
			for _, next := range edges[dir] {
				visit(next, append(path, next))
			}
		}
		visit(from, []string{from})
	}
}

func TestDangerousPowersStandInOnePlace(t *testing.T) {
	for _, src := range parseTree(t) {
		for _, power := range powers {
			if slices.ContainsFunc(power.allowed, func(a string) bool {
				return a == src.path || strings.HasSuffix(a, "/") && strings.HasPrefix(src.path, a)
			}) {
				continue
			}
			for _, call := range usesOf(&src, power.calls) {
				if _, ok := exceptions[src.path+" "+call]; !ok {
					t.Errorf("%s uses %s, which %s; that may stand only in %v", src.path, call, power.what, power.allowed)
				}
			}
		}
	}
}

// usesOf returns the names of calls that the file uses. An import of a package that is listed as
// "path.*" or "path/*" is a use in itself.
func usesOf(src *sourceFile, calls []string) []string {
	var out []string
	for _, p := range src.imports {
		for _, c := range calls {
			if strings.HasSuffix(c, ".*") && p == strings.TrimSuffix(c, ".*") ||
				strings.HasSuffix(c, "/*") && strings.HasPrefix(p, strings.TrimSuffix(c, "*")) {
				out = append(out, c)
			}
		}
	}
	ast.Inspect(src.file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		name := "." + sel.Sel.Name
		if x, isIdent := sel.X.(*ast.Ident); isIdent {
			if p, imported := src.imports[x.Name]; imported {
				name = p + "." + sel.Sel.Name
			}
		}
		if slices.Contains(calls, name) {
			out = append(out, name)
		}
		return true
	})
	return out
}

func TestNoInit(t *testing.T) {
	for _, src := range parseTree(t) {
		for _, decl := range src.file.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init(): wire it in internal/app", src.path)
			}
		}
	}
}

// The checks above must be able to fail: a file that does everything forbidden is caught.
func TestArchitectureChecksCatch(t *testing.T) {
	const bad = `package bad
import (
	"os"
	"os/exec"
	"os/exec"
	unix "golang.org/x/sys/unix"
)
func f(file *os.File) {
	_ = os.Remove("x")
	_ = exec.Command("x")
	_ = unix.Kill(1, 9)
	_ = file.Truncate(0)
	os.Exit(1)
}`
	f, err := parser.ParseFile(token.NewFileSet(), "bad.go", bad, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	src := &sourceFile{path: "collector/bad.go", file: f, imports: map[string]string{"os": "os", "exec": "os/exec", "unix": "golang.org/x/sys/unix"}}
	var got []string
	for _, p := range powers {
		got = append(got, usesOf(src, p.calls)...)
	}
	slices.Sort(got)
	want := []string{".Truncate", "golang.org/x/sys/unix.Kill", "os.Exit", "os.Remove", "os/exec.*"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

// TestTopLevel keeps what was left behind by a trial out of the repository.
func TestTopLevel(t *testing.T) {
	out, err := exec.Command("git", "ls-files").Output()
	if err != nil {
		t.Skipf("not a git work tree: %v", err)
	}
	allowed := []string{
		"go.mod", "go.sum", "main.go", "collector", "rules", "dashboards", "Makefile", "README.md", "internal", "deploy", "docs", "examples",
		"LICENSE", "CHANGELOG.md", "main_test.go", "arch_test.go", "links_test.go",
	}
	for name := range strings.Lines(string(out)) {
		top, _, _ := strings.Cut(strings.TrimSpace(name), "/")
		if !strings.HasPrefix(top, ".") && !slices.Contains(allowed, top) {
			t.Errorf("%s does not belong to the top level", top)
		}
	}
}
