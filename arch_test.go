package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/spillway-exporter/spillway_exporter"

// vocabulary are packages of types and pure functions that every room may use.
var vocabulary = []string{"internal/units", "internal/series", "internal/metric", "internal/alert", "internal/policy", "internal/report", "internal/loopback", "internal/hostfs", "internal/strictyaml", "internal/subject", "internal/needs", "internal/trend"}

// house is the table of who may import what of ours, next to the vocabulary. A folder that is not
// listed here is an error, so that a new room is a decision.
var house = map[string][]string{
	"":                        {"internal/cli"},
	"collector":               {"internal/cgroup", "internal/dirscan", "internal/entry", "internal/fetch", "internal/folderlog", "internal/heap", "internal/hitrate", "internal/lazy", "internal/proc"},
	"rules":                   {},
	"deploy/node-agent":       {},
	"deploy/python-agent":     {},
	"dashboards":              {},
	"internal/units":          {},
	"internal/needs":          {},
	"internal/report":         {},
	"internal/loopback":       {},
	"internal/strictyaml":     {},
	"internal/subject":        {},
	"internal/series":         {},
	"internal/trend":          {},
	"internal/metric":         {},
	"internal/alert":          {},
	"internal/policy":         {"internal/dirscan"},
	"internal/cgroup":         {},
	"internal/container":      {},
	"internal/proc":           {"internal/cgroup", "internal/container"},
	"internal/fetch":          {},
	"internal/heap":           {"internal/dirscan", "internal/fetch", "internal/lazy", "internal/proc"},
	"internal/evidence":       {"internal/dirscan", "internal/fetch", "internal/heap", "internal/proc"},
	"internal/lazy":           {},
	"internal/hitrate":        {"internal/lazy"},
	"internal/dirscan":        {},
	"internal/safefs":         {"internal/dirscan"},
	"internal/inside":         {"internal/dirscan", "internal/proc", "internal/safefs"},
	"internal/refuse":         {},
	"internal/eval":           {},
	"internal/action":         {"internal/dirscan", "internal/entry", "internal/evidence", "internal/fetch", "internal/heap", "internal/proc", "internal/restart", "internal/safefs"},
	"internal/restart":        {},
	"internal/entry":          {"internal/dirscan"},
	"internal/journal":        {},
	"internal/ledger":         {"internal/journal"},
	"internal/health":         {"internal/verdict"},
	"internal/verdict":        {},
	"internal/web":            {"internal/evidence", "internal/fetch", "internal/health", "internal/history", "internal/journal", "internal/lazy", "internal/ledger", "internal/verdict"},
	"internal/dispatch":       {"internal/action", "internal/journal", "internal/regret", "internal/window"},
	"internal/regret":         {"internal/dirscan"},
	"internal/watch":          {"internal/action"},
	"internal/pull":           {"internal/fetch"},
	"internal/sdnotify":       {},
	"internal/config":         {"collector", "internal/action", "internal/dirscan", "internal/dispatch", "internal/eval", "internal/evidence", "internal/heap", "internal/history", "internal/journal", "internal/proc", "internal/pull", "internal/restart", "internal/safefs", "internal/watch", "internal/window"},
	"internal/window":         {},
	"internal/history":        {},
	"internal/folderlog":      {},
	"internal/convert":        {"internal/safefs"},
	"internal/listen":         {},
	"internal/memlock":        {"internal/setup"},
	"internal/lifecycle":      {},
	"internal/control":        {"internal/action", "internal/config", "internal/dispatch", "internal/evidence", "internal/safefs", "internal/setup"},
	"internal/schedule":       {"internal/config", "internal/dispatch"},
	"internal/hostfs":         {},
	"internal/setup":          {"collector", "rules", "internal/action", "internal/cgroup", "internal/config", "internal/dirscan", "internal/dispatch", "internal/eval", "internal/evidence", "internal/folderlog", "internal/heap", "internal/history", "internal/inside", "internal/journal", "internal/ledger", "internal/listen", "internal/proc", "internal/restart", "internal/safefs", "internal/wake"},
	"internal/hostcheck":      {"internal/action", "internal/cgroup", "internal/config", "internal/proc", "internal/restart", "internal/safefs", "internal/setup"},
	"internal/app":            {"collector", "rules", "internal/action", "internal/cgroup", "internal/config", "internal/control", "internal/dirscan", "internal/dispatch", "internal/eval", "internal/folderlog", "internal/health", "internal/heap", "internal/hitrate", "internal/journal", "internal/lazy", "internal/ledger", "internal/lifecycle", "internal/listen", "internal/memlock", "internal/proc", "internal/pull", "internal/restart", "internal/safefs", "internal/schedule", "internal/sdnotify", "internal/setup", "internal/wake", "internal/watch", "internal/web"},
	"internal/cli":            {"dashboards", "deploy/node-agent", "deploy/python-agent", "rules", "examples/leaky/leak", "internal/action", "internal/app", "internal/config", "internal/control", "internal/convert", "internal/dispatch", "internal/evidence", "internal/health", "internal/hostcheck", "internal/journal", "internal/ledger", "internal/listen", "internal/proc", "internal/regret", "internal/replay", "internal/restart", "internal/safefs", "internal/setup", "internal/web"},
	"internal/replay":         {"collector", "internal/action", "internal/config", "internal/dirscan", "internal/dispatch", "internal/eval", "internal/folderlog", "internal/history", "internal/journal", "internal/schedule", "internal/setup"},
	"internal/e2e":            {},
	"internal/attack":         {},
	"internal/gotest":         {},
	"internal/picture":        {},
	"internal/vmtest":         {},
	"internal/vmtest/agent":   {"internal/vmtest"},
	"internal/vmtest/host":    {"internal/vmtest"},
	"examples/leaky":          {"examples/leaky/leak"},
	"examples/leaky/leak":     {},
	"examples/bench/scan":     {"internal/dirscan", "internal/refuse"},
	"examples/bench/hits":     {"internal/hitrate"},
	"examples/bench/remove":   {"*"},
	"internal/wake":           {},
	"examples/bench/reaction": {},
	"internal/vmtest/hold":    {},
	"internal/vmtest/pod":     {},
	"internal/simulate":       {},
}

// observers must not reach, by any chain of imports, what changes the world.
var (
	observers = []string{"collector", "internal/cgroup", "internal/container", "internal/dirscan", "internal/entry", "internal/evidence", "internal/folderlog", "internal/history", "internal/hitrate", "internal/ledger", "internal/proc", "internal/regret", "internal/wake", "internal/health", "internal/verdict", "internal/eval", "internal/web"}
	changers  = []string{"internal/safefs", "internal/action", "internal/dispatch", "internal/restart"}
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
		what:    "asks a manager to restart something",
		calls:   []string{"github.com/coreos/go-systemd/v22/dbus.*", "github.com/godbus/dbus/*"},
		allowed: []string{"internal/restart/"},
	},
	{
		what:    "links PromQL",
		calls:   []string{"github.com/prometheus/prometheus/*"},
		allowed: []string{"internal/eval/"},
	},
	{
		what:    "makes system calls fail",
		calls:   []string{module + "/internal/refuse.*", "golang.org/x/sys/unix.SYS_SECCOMP"},
		allowed: []string{"internal/refuse/", "examples/bench/"},
	},
	{
		what:    "ends the process",
		calls:   []string{"os.Exit", "log.Fatal", "log.Fatalf"},
		allowed: []string{"main.go", "examples/", "internal/gotest/", "internal/vmtest/"},
	},
}

// exceptions are single calls with a reason.
var exceptions = map[string]string{
	// The history's own file, cut to a bound that was lowered before anything is added to it; never a watched folder.
	"internal/history/store.go .Truncate": "the history's file is cut to max_bytes",
	// The encoding of samples alone: a hundred lines that link nothing else.
	"internal/history/chunk.go github.com/prometheus/prometheus/*": "samples are compressed; no PromQL is linked",
	// The journal's own file, moved aside as a whole when it is corrupt; never a watched folder.
	"internal/journal/corrupt.go os.Rename": "a corrupt journal is moved aside",
	// The benchmark starts what it measures: the exporter, its peers and what they guard.
	"examples/bench/reaction/run.go os/exec.*":    "a benchmark starts what it measures",
	"examples/bench/reaction/guards.go os/exec.*": "a benchmark starts what it measures",
	// A test program runs itself, and is not part of the exporter.
	"internal/refuse/again.go os/exec.*": "tests run themselves again",
	// The numbers of calls that are refused, not made.
	"internal/refuse/refuse.go golang.org/x/sys/unix.SYS_RENAMEAT2":         "its number",
	"internal/refuse/refuse.go golang.org/x/sys/unix.SYS_PIDFD_SEND_SIGNAL": "its number",
}

// Bounds of every file and function, of 95 in 100 functions, and of half of the interfaces.
const (
	mostFileLines         = 450
	mostFunctionLines     = 70
	usualFunctionLines    = 40
	usualInterfaceMethods = 2
)

// misshapen are files, functions as "file name", and folders of packages that are too long or whose
// comment does not stand in doc.go for now, with the reason. An entry that is not needed is an error.
var misshapen = map[string]string{}

type sourceFile struct {
	path    string // relative, with slashes
	dir     string
	file    *ast.File
	lines   func(from, to token.Pos) int
	imports map[string]string // local name -> import path
}

// parse parses one file; text is what it contains, or nil to read it.
func parse(t *testing.T, path string, text any) sourceFile {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, text, parser.SkipObjectResolution|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	src := sourceFile{path: filepath.ToSlash(path), file: f, imports: map[string]string{}}
	src.lines = func(from, to token.Pos) int { return fset.Position(to).Line - fset.Position(from).Line + 1 }
	if dir := filepath.ToSlash(filepath.Dir(path)); dir != "." {
		src.dir = dir
	}
	for _, imp := range f.Imports {
		p, _ := strconv.Unquote(imp.Path.Value)
		name := p[strings.LastIndex(p, "/")+1:]
		if imp.Name != nil {
			name = imp.Name.Name
		}
		src.imports[name] = p
	}
	return src
}

func parseTree(t *testing.T) []sourceFile {
	t.Helper()
	var out []sourceFile
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || ownModule(path)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		out = append(out, parse(t, path, nil))
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

// ownModule reports whether a folder is a module of its own, which the exporter cannot link.
func ownModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
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

// metricName is the start of a metric's name in a literal. The program's own name is not one.
var metricName = regexp.MustCompile(`^spillway_[a-z0-9_]*`)

// metricLiterals returns the string literals of a file that begin with the name of a metric.
func metricLiterals(src *sourceFile) []string {
	var out []string
	ast.Inspect(src.file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, _ := strconv.Unquote(lit.Value)
			if name := metricName.FindString(text); name != "" && name != "spillway_exporter" {
				out = append(out, text)
			}
		}
		return true
	})
	return out
}

// TestMetricsAreNamedOnce: the names of metrics stand in internal/metric alone, which knows what a
// series is and nothing else of ours.
func TestMetricsAreNamedOnce(t *testing.T) {
	allowed := []string{"internal/series", "internal/units"}
	for _, src := range parseTree(t) {
		if src.dir != "internal/metric" {
			for _, text := range metricLiterals(&src) {
				t.Errorf("%s names the metric %q: take its definition from internal/metric", src.path, text)
			}
			continue
		}
		for _, p := range src.ours() {
			if !slices.Contains(allowed, p) {
				t.Errorf("%s imports %s, internal/metric may import only %v", src.path, p, allowed)
			}
		}
	}
}

// commentProblems returns, by folder, packages whose comment does not stand in doc.go alone (of a
// command: in main.go alone).
func commentProblems(files []sourceFile) map[string]string {
	want, got := make(map[string]string), make(map[string][]string)
	for _, src := range files {
		want[src.dir] = "doc.go"
		if src.file.Name.Name == "main" {
			want[src.dir] = "main.go"
		}
		if src.file.Doc != nil {
			got[src.dir] = append(got[src.dir], path.Base(src.path))
		}
	}
	problems := make(map[string]string)
	for dir, name := range want {
		if !slices.Equal(got[dir], []string{name}) {
			problems[dir] = fmt.Sprintf("the package comment stands in %v, not in %s alone", got[dir], name)
		}
	}
	return problems
}

// sizeProblems returns files and functions that are too long, and whether functions and interfaces
// are larger on the whole than they should be.
func sizeProblems(files []sourceFile) map[string]string {
	problems := make(map[string]string)
	check := func(name string, n, most int, what string) {
		if n > most {
			problems[name] = fmt.Sprintf("%d %s, more than %d", n, what, most)
		}
	}
	var functions, interfaces []int
	for _, src := range files {
		check(src.path, src.lines(src.file.FileStart, src.file.FileEnd-1), mostFileLines, "lines")
		ast.Inspect(src.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				functions = append(functions, src.lines(n.Pos(), n.End()))
				check(src.path+" "+n.Name.Name, src.lines(n.Pos(), n.End()), mostFunctionLines, "lines")
			case *ast.InterfaceType:
				if n.Methods.NumFields() > 0 {
					interfaces = append(interfaces, n.Methods.NumFields())
				}
			}
			return true
		})
	}
	slices.Sort(functions)
	slices.Sort(interfaces)
	if len(functions) > 0 {
		check("functions", functions[(len(functions)-1)*95/100], usualFunctionLines, "lines in the 95th percentile")
	}
	if len(interfaces) > 0 {
		check("interfaces", interfaces[(len(interfaces)-1)/2], usualInterfaceMethods, "methods in the median")
	}
	return problems
}

// unexpected returns the problems that are not among the exceptions, and the exceptions that are
// not among the problems.
func unexpected(problems, exempt map[string]string) []string {
	var out []string
	for name, problem := range problems {
		if exempt[name] == "" {
			out = append(out, name+": "+problem)
		}
	}
	for name := range exempt {
		if problems[name] == "" {
			out = append(out, name+": is as it should be: remove it from the exceptions")
		}
	}
	slices.Sort(out)
	return out
}

// TestShape: package comments stand in doc.go, and files, functions and interfaces stay small.
func TestShape(t *testing.T) {
	files := parseTree(t)
	problems := sizeProblems(files)
	maps.Copy(problems, commentProblems(files))
	for _, problem := range unexpected(problems, misshapen) {
		t.Error(problem)
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
	src := parse(t, "collector/bad.go", bad)
	var got []string
	for _, p := range powers {
		got = append(got, usesOf(&src, p.calls)...)
	}
	slices.Sort(got)
	want := []string{".Truncate", "golang.org/x/sys/unix.Kill", "os.Exit", "os.Remove", "os/exec.*"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestMetricsAreNamedOnceCatches(t *testing.T) {
	src := parse(t, "collector/bad.go", "package bad\n"+`
const (
	name     = "spillway_processes"
	query    = "spillway_processes{target='x'} == 0"
	longer   = "spillway_exporter_build_info"
	prefix   = "spillway_"
	program  = "spillway_exporter"
	usage    = "spillway_exporter check"
	agent    = "spillway_exporter/"
	sentence = "see spillway_processes"
)
var raw = `+"`spillway_temp_files`")
	want := []string{"spillway_processes", "spillway_processes{target='x'} == 0", "spillway_exporter_build_info", "spillway_", "spillway_temp_files"}
	if got := metricLiterals(&src); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestShapeChecksCatch(t *testing.T) {
	const doc = "// Package a.\npackage a"
	lines := func(head string, n int, tail string) string { return head + strings.Repeat("\n", n) + tail }
	files := func(namesAndTexts ...string) (out []sourceFile) {
		for pair := range slices.Chunk(namesAndTexts, 2) {
			out = append(out, parse(t, pair[0], pair[1]))
		}
		return out
	}
	for _, tc := range []struct {
		name     string
		problems map[string]string
		want     []string
	}{
		{"none", commentProblems(files("a/a.go", "package a")), []string{"a: "}},
		{"elsewhere", commentProblems(files("a/a.go", doc)), []string{"a: "}},
		{"two", commentProblems(files("a/a.go", doc, "a/doc.go", doc)), []string{"a: "}},
		{"right", commentProblems(files("a/a.go", "package a", "a/doc.go", doc, "main.go", "// Command a.\npackage main")), nil},
		{"long file", sizeProblems(files("a.go", lines("package a", mostFileLines, "// the end\n"))), []string{"a.go: "}},
		{"file", sizeProblems(files("a.go", lines("package a", mostFileLines-1, "// the end\n"))), nil},
		{"long function", sizeProblems(files("a.go", lines("package a; func f() {", mostFunctionLines, "}"))), []string{"a.go f: ", "functions: "}},
		{"functions", sizeProblems(files("a.go", lines("package a; func f() {", usualFunctionLines, "}"))), []string{"functions: "}},
		{"function", sizeProblems(files("a.go", lines("package a; func f() {", usualFunctionLines-1, "}"))), nil},
		{"interfaces", sizeProblems(files("a.go", "package a; type i interface{ a(); b(); c() }")), []string{"interfaces: "}},
	} {
		got := unexpected(tc.problems, nil)
		if !slices.EqualFunc(got, tc.want, strings.HasPrefix) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	if got := unexpected(nil, map[string]string{"a": "is being split"}); len(got) != 1 {
		t.Errorf("an exception that is not needed: %q", got)
	}
}
