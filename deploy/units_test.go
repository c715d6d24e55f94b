package deploy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// setting is one line Key=value of a unit or a drop-in. Lines that a drop-in offers behind a # count
// too: they are shipped to be switched on.
type setting struct{ file, key, value string }

func (s setting) String() string { return fmt.Sprintf("%s: %s=%s", s.file, s.key, s.value) }

// parseSettings returns the settings of one unit.
func parseSettings(file, text string) []setting {
	var out []setting
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "#"), "=")
		if ok && key != "" && !strings.ContainsAny(key, " \t#") && key[0] >= 'A' && key[0] <= 'Z' {
			out = append(out, setting{file, key, strings.TrimSpace(value)})
		}
	}
	return out
}

// shippedSettings returns the settings of every unit and drop-in in this folder.
func shippedSettings(t *testing.T) []setting {
	t.Helper()
	var out []setting
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains([]string{".service", ".conf", ".socket", ".timer", ".path", ".slice"}, filepath.Ext(path)) {
			return err
		}
		files++
		out = append(out, parseSettings(path, read(t, path))...)
		return nil
	})
	if err != nil || files < 2 || len(out) < 30 {
		t.Fatalf("%d settings in %d files, %v", len(out), files, err)
	}
	return out
}

// values returns the words that all lines of a key hold.
func values(settings []setting, key string) []string {
	var out []string
	for _, s := range settings {
		if s.key == key {
			out = append(out, strings.Fields(s.value)...)
		}
	}
	return out
}

// blocksOpenat2 reports whether a setting makes systemd install the filter against set-user-ID
// files. That filter cannot look into the structure that openat2 takes, so it answers ENOSYS,
// in older versions EPERM, to every openat2 (seccomp_restrict_sxid in systemd's
// src/shared/seccomp-util.c), and folders are walked without it. DynamicUser implies RestrictSUIDSGID
// (systemd.exec(5)).
func blocksOpenat2(s setting) bool {
	on := slices.Contains([]string{"1", "yes", "y", "true", "t", "on"}, strings.ToLower(s.value))
	return on && (s.key == "RestrictSUIDSGID" || s.key == "DynamicUser")
}

func TestUnitsLeaveOpenat2(t *testing.T) {
	for _, s := range shippedSettings(t) {
		if blocksOpenat2(s) {
			t.Errorf("%v makes systemd answer ENOSYS to openat2, without which folders are walked slower: remove the line", s)
		}
	}
}

func TestBlocksOpenat2(t *testing.T) {
	f := func(line string, want bool) {
		t.Helper()
		got := parseSettings("x.conf", line)
		if len(got) != 1 || blocksOpenat2(got[0]) != want {
			t.Errorf("%q: %v, want one setting that blocks: %v", line, got, want)
		}
	}
	f("RestrictSUIDSGID=yes", true)
	f("  RestrictSUIDSGID= True", true)
	f("#RestrictSUIDSGID=on", true) // to be switched on by hand
	f("DynamicUser=1", true)
	f("RestrictSUIDSGID=no", false)
	f("RestrictRealtime=yes", false)
}

// What stands in for RestrictSUIDSGID: a set-user-ID file that the exporter could make would be its
// own user's, because it may neither give files away nor keep the bit for a group it is not in.
func TestUnitsCannotMakePrivilegedFiles(t *testing.T) {
	settings := shippedSettings(t)
	if got := values(settings, "NoNewPrivileges"); !slices.Equal(got, []string{"yes"}) {
		t.Errorf("NoNewPrivileges is %q in units and drop-ins, want yes once", got)
	}
	for _, key := range []string{"AmbientCapabilities", "CapabilityBoundingSet"} {
		got := values(settings, key)
		if len(got) == 0 {
			t.Errorf("%s is not set", key)
		}
		for _, c := range []string{"CAP_FSETID", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_SETFCAP", "CAP_SYS_ADMIN"} {
			if slices.Contains(got, c) {
				t.Errorf("%s holds %s", key, c)
			}
		}
	}
}

// systemCalls holds what the functions of x/sys/unix are called in the kernel where that is not
// their name in lower case; "" for those that make no system call.
var systemCalls = map[string]string{
	"Access": "faccessat", "ByteSliceFromString": "", "ByteSliceToString": "", "Capget": "capget", "ClockGettime": "clock_gettime",
	"EpollCreate1": "epoll_create1", "EpollCtl": "epoll_ctl", "EpollWait": "epoll_wait", "Errno": "", "ErrnoName": "", "FcntlInt": "fcntl",
	"Eventfd": "eventfd2", "Fstatat": "newfstatat",
	"Getdents": "getdents64", "GetsockoptUcred": "getsockopt", "InotifyAddWatch": "inotify_add_watch", "InotifyInit1": "inotify_init1",
	"InotifyRmWatch": "inotify_rm_watch", "IoctlGetTermios": "ioctl", "Major": "", "MemfdCreate": "memfd_create", "Minor": "", "Mkdev": "", "PidfdOpen": "pidfd_open",
	"PidfdSendSignal": "pidfd_send_signal", "Pread": "pread64", "Seek": "lseek", "SetNonblock": "fcntl", "SetsockoptInt": "setsockopt", "SignalName": "",
	"Syscall": "", "Syscall6": "", "WaitStatus": "",
}

// runtimeCalls are system calls that the Go runtime and the standard library make for the exporter.
var runtimeCalls = []string{
	"accept4", "clone", "clone3", "connect", "copy_file_range", "dup3", "epoll_create1", "epoll_ctl", "epoll_pwait", "eventfd2", "execve", "exit_group",
	"faccessat2", "fchmodat", "fchownat", "futex", "getrandom", "kill", "listen", "madvise", "mmap", "mprotect", "munmap", "newfstatat", "pipe2", "prlimit64",
	"rename", "renameat", "rt_sigaction", "sched_getaffinity", "sched_yield", "sendfile", "setpgid", "sigaltstack", "socket", "splice", "tgkill", "utimensat", "wait4", "write",
}

// usesOfUnix returns the functions that the exporter calls in x/sys/unix, and the constants with the
// prefix that it names, each with one place.
func usesOfUnix(t *testing.T, prefix string) (calls, constants map[string]string) {
	t.Helper()
	calls, constants = map[string]string{}, map[string]string{}
	fset := token.NewFileSet()
	file := func(path string) error {
		f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok {
				if name, ok := ofUnix(c.Fun); ok {
					calls[name] = fset.Position(c.Pos()).String()
				}
			}
			if e, ok := n.(ast.Expr); ok {
				if name, ok := ofUnix(e); ok && strings.HasPrefix(name, prefix) {
					constants[strings.TrimPrefix(name, prefix)] = fset.Position(e.Pos()).String()
				}
			}
			return true
		})
		return nil
	}
	for _, root := range []string{"../main.go", "../collector", "../internal"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if d != nil && d.IsDir() && path == "../internal/refuse" { // not part of the exporter
				return filepath.SkipDir
			}
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			return file(path)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return calls, constants
}

// ofUnix returns the name that an expression unix.Name selects.
func ofUnix(e ast.Expr) (string, bool) {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	pkg, ok := s.X.(*ast.Ident)
	return s.Sel.Name, ok && pkg.Name == "unix"
}

// expandFilter returns the system calls of a group of systemd.
func expandFilter(t *testing.T, group string) map[string]bool {
	t.Helper()
	text, err := exec.Command("systemd-analyze", "--no-pager", "syscall-filter", group).Output()
	if err != nil {
		t.Fatalf("systemd-analyze syscall-filter %s: %v", group, err)
	}
	out := map[string]bool{}
	_, list, _ := strings.Cut(string(text), "\n") // the first line is the name of the group
	for line := range strings.Lines(list) {
		switch name := strings.TrimSpace(line); {
		case strings.HasPrefix(name, "@"):
			for call := range expandFilter(t, name) {
				out[call] = true
			}
		case name != "" && !strings.HasPrefix(name, "#"):
			out[name] = true
		}
	}
	return out
}

// Every system call of the code has to be in the filter: one that is missing answers EPERM on the
// host and nowhere else.
func TestUnitAdmitsSystemCalls(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	filter := values(shippedSettings(t), "SystemCallFilter")
	if len(filter) == 0 {
		t.Fatal("SystemCallFilter is not set")
	}
	allowed := map[string]bool{}
	for _, word := range filter {
		switch {
		case strings.HasPrefix(word, "~"):
			t.Fatalf("SystemCallFilter=%s: teach this test to take calls away", word)
		case strings.HasPrefix(word, "@"):
			for call := range expandFilter(t, word) {
				allowed[call] = true
			}
		default:
			allowed[word] = true
		}
	}
	calls, numbers := usesOfUnix(t, "SYS_")
	if len(calls) < 30 || len(numbers) < 4 {
		t.Fatalf("found %d functions and %d numbers of system calls: the search does not work", len(calls), len(numbers))
	}
	for name, place := range calls {
		call, ok := systemCalls[name]
		if !ok {
			call = strings.ToLower(name)
		}
		if call != "" && !allowed[call] {
			t.Errorf("%s: unix.%s: the filter of the unit does not admit %q", place, name, call)
		}
	}
	for name, place := range numbers {
		if call := strings.ToLower(name); !allowed[call] {
			t.Errorf("%s: the filter of the unit does not admit %q", place, call)
		}
	}
	for _, call := range runtimeCalls {
		if !allowed[call] {
			t.Errorf("the filter of the unit does not admit %q", call)
		}
	}
}

// RestrictAddressFamilies filters socket(2): a family that the code opens stands in the unit, or in
// a drop-in that names what needs it.
func TestUnitsAdmitAddressFamilies(t *testing.T) {
	admitted := values(shippedSettings(t), "RestrictAddressFamilies")
	_, families := usesOfUnix(t, "AF_")
	if len(families) == 0 || len(admitted) == 0 {
		t.Fatalf("families %v, admitted %v", families, admitted)
	}
	for name, place := range families {
		if !slices.Contains(admitted, "AF_"+name) {
			t.Errorf("%s: no unit or drop-in admits AF_%s", place, name)
		}
	}
}
