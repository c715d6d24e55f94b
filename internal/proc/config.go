package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/container"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

// maxComm is the length of a process name that the kernel keeps (TASK_COMM_LEN less the NUL).
const maxComm = 15

// Config says which processes belong to one target.
type Config struct {
	Match    Match  `yaml:"match"`    // conditions that must all hold; at least one
	Children bool   `yaml:"children"` // descendants of a member are members too, but for those that another target matches or that have a nearer member of another as ancestor
	Exclude  *Match `yaml:"exclude"`  // the same conditions; a process that fulfils all of them is never a member
	Required *bool  `yaml:"required"` // false: a target that has had no process since the start of the exporter is not down

	ThreadNames bool `yaml:"thread_names"` // count the threads by name, at most 20 names; a reading takes about 8 µs for each thread, every 30 s
}

// Match is a set of conditions on one process. Conditions that are empty are not asked.
type Match struct {
	Comm    string `yaml:"comm"`    // the process name, as ps -o comm shows it; at most 15 bytes
	Exe     string `yaml:"exe"`     // the program file: an absolute path, also one that is a link to it, or its base name
	Argv0   string `yaml:"argv0"`   // the first argument, which is what the process was started as: with a slash in full, else its base name
	Cmdline Exprs  `yaml:"cmdline"` // a regular expression on the command line, arguments joined by blanks, or a list of which all must match
	User    string `yaml:"user"`    // the effective user: a name or a number

	Cgroup      string `yaml:"cgroup"`       // an absolute cgroup path, as /proc/PID/cgroup shows it; those below it too
	SystemdUnit string `yaml:"systemd_unit"` // a unit of systemd, such as nginx.service; .service may be left out
	Container   string `yaml:"container"`    // a glob on the name of the container that it runs in: in its pod, or as Docker, Podman or containerd know it
	Pod         string `yaml:"pod"`          // a glob on the name of the Kubernetes pod, with or without what changes with each start
	Namespace   string `yaml:"namespace"`    // a glob on the namespace of the pod
	Image       string `yaml:"image"`        // a glob on the image of the container, as it was asked for

	Pidfile    string `yaml:"pidfile"`     // an absolute path of a file that holds the number of a process
	ListenPort int    `yaml:"listen_port"` // a TCP port that the process listens on

	AnyOf []Match `yaml:"any_of"` // sets of conditions of which at least one must hold, in addition to those alongside
}

// Exprs are regular expressions that must all match. One alone can be written without a list.
type Exprs []string

// UnmarshalShorthand implements strictyaml.Shorthand.
func (e *Exprs) UnmarshalShorthand(text string) { *e = Exprs{text} }

// conditions names the keys of Match for messages.
const conditions = "comm, exe, argv0, cmdline, user, cgroup, systemd_unit, container, pod, namespace, image, pidfile, listen_port and any_of"

// Empty reports whether no condition is set.
func (m *Match) Empty() bool { return m.equal(&Match{}) }

// equal reports whether both have the same conditions; a list without elements is none.
func (m *Match) equal(o *Match) bool {
	a, b := *m, *o
	a.Cmdline, a.AnyOf, b.Cmdline, b.AnyOf = nil, nil, nil, nil
	return reflect.DeepEqual(a, b) && slices.Equal(m.Cmdline, o.Cmdline) &&
		slices.EqualFunc(m.AnyOf, o.AnyOf, func(a, b Match) bool { return a.equal(&b) })
}

// Validate reports every mistake, with the key relative to this struct and what to write instead.
func (c *Config) Validate(report report.Func) {
	if c.Match.Empty() {
		report("match", "has no condition and would take every process: write at least one of "+conditions+", such as {comm: node}")
	}
	c.Match.validate("match", report)
	if c.Exclude != nil {
		if c.Exclude.Empty() {
			report("exclude", "has no condition and would refuse every process: write at least one of "+conditions+", or remove the key")
		}
		c.Exclude.validate("exclude", report)
		if !c.Match.Empty() && c.Exclude.equal(&c.Match) {
			report("exclude", "has the same conditions as match, so nothing would be left: write a narrower exclude or remove it")
		}
	}
}

func (m *Match) validate(key string, report report.Func) {
	m.validateNames(key, report)
	for i, text := range m.Cmdline {
		at := key + ".cmdline"
		if len(m.Cmdline) > 1 {
			at += fmt.Sprintf("[%d]", i)
		}
		if _, err := regexp.Compile(text); err != nil {
			report(at, "%s: write a Go (RE2) regular expression, with \\ before a character that is meant literally", regexpError(err))
		}
		if text == "" {
			report(at, "is empty and would match every process: write an expression or remove it")
		}
	}
	if m.User != "" {
		if _, err := hostfs.UserID(m.User); err != nil {
			report(key+".user", "%s", err)
		}
	}
	m.validateService(key, report)
	for i := range m.AnyOf {
		at := fmt.Sprintf("%s.any_of[%d]", key, i)
		if m.AnyOf[i].Empty() {
			report(at, "has no condition, so any_of would always hold: write at least one of "+conditions+", or remove it")
		}
		m.AnyOf[i].validate(at, report)
	}
}

// These find what no program is called, but expressions and globs have.
var (
	notInComm = regexp.MustCompile(`[*?^$|\\]|\.\+|\w\[[^\]]+\]|\[[^\]]+-[^\]]+\]|\{[^}]*,[^}]*\}`)
	notInExe  = regexp.MustCompile(`[*?|]|^\^|\$$|\\\.|\{[^}]*,[^}]*\}`)
)

// quotedBraces are those of a glob whose special characters have been quoted.
var quotedBraces = regexp.MustCompile(`\\\{[^{}]*\\\}`)

// plainStart is what of an expression may be meant as a name.
var plainStart = regexp.MustCompile(`^[A-Za-z0-9_-]+`)

// validateNames checks the conditions on the names of a program, which are compared as they are.
func (m *Match) validateNames(key string, report report.Func) {
	switch {
	case strings.Contains(m.Comm, "/") && filepath.IsAbs(m.Comm):
		report(key+".comm", "%q is a path and comm is a name: write exe: %s or comm: %s", m.Comm, m.Comm, shorten(filepath.Base(m.Comm)))
	case notInComm.MatchString(m.Comm):
		report(key+".comm", "%q is an expression and comm is a name, compared as it is: write %scmdline: '%s'", m.Comm, nameOf("comm", m.Comm), asExpression(m.Comm))
	case len(m.Comm) > maxComm:
		report(key+".comm", "%q has %d bytes and the kernel keeps %d, so it would never match: write %q, or exe: %s, or a cmdline",
			m.Comm, len(m.Comm), maxComm, m.Comm[:maxComm], m.Comm)
	}
	switch {
	case notInExe.MatchString(m.Exe):
		report(key+".exe", "%q is an expression and exe is a path or a name, compared as it is: write %scmdline: '%s'", m.Exe, nameOf("exe", filepath.Base(m.Exe)), asExpression(m.Exe))
	case strings.Contains(m.Exe, "/") && !filepath.IsAbs(m.Exe):
		report(key+".exe", "%q is a relative path: write the absolute path of the program or its base name, %s", m.Exe, filepath.Base(m.Exe))
	case strings.HasSuffix(m.Exe, "/"):
		report(key+".exe", "%q is a folder: write the absolute path of the program, such as /usr/bin/node", m.Exe)
	}
}

// IsComm reports whether a process may have a name, as far as can be said of it.
func IsComm(name string) bool {
	return len(name) <= maxComm && !filepath.IsAbs(name) && !notInComm.MatchString(name)
}

// nameOf returns the condition that an expression may have been meant as, "" when none is near.
func nameOf(key, text string) string {
	name := plainStart.FindString(text)
	if name == "" || len(name) > maxComm {
		return ""
	}
	return key + ": " + name + ", or "
}

// asExpression returns an expression for what may be a glob.
func asExpression(text string) string {
	text = strings.ReplaceAll(text, "'", "''")
	_, err := regexp.Compile(text)
	if glob := strings.ContainsAny(text, "*?{") && !strings.Contains(text, ".*") && !strings.Contains(text, ".+"); err == nil && !glob {
		return text
	}
	text = strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(text))
	return quotedBraces.ReplaceAllStringFunc(text, func(s string) string {
		return "(" + strings.ReplaceAll(s[2:len(s)-2], ",", "|") + ")"
	})
}

// validateService checks the conditions on the service that a process is of: its cgroup, unit,
// pidfile and port.
func (m *Match) validateService(key string, report report.Func) {
	switch {
	case m.Cgroup == "":
	case strings.ContainsAny(m.Cgroup, "*?"):
		report(key+".cgroup", "%q is a glob and cgroup is a path, of which all below it are taken too: write the path up to there, %q", m.Cgroup, upTo(m.Cgroup))
	case m.Cgroup == "/":
		report(key+".cgroup", "\"/\" is the cgroup of every process: write the path of one below it, such as /system.slice")
	case !filepath.IsAbs(m.Cgroup) || filepath.Clean(m.Cgroup) != m.Cgroup:
		report(key+".cgroup", "%q is not the path of a cgroup: write %q, as the last field in /proc/PID/cgroup shows it", m.Cgroup, filepath.Clean("/"+m.Cgroup))
	}
	if strings.ContainsAny(m.SystemdUnit, "/ *") {
		report(key+".systemd_unit", "%q is not the name of one unit: write it as systemctl status shows it, such as nginx.service", m.SystemdUnit)
	}
	for _, glob := range []struct{ key, pattern string }{{".container", m.Container}, {".pod", m.Pod}, {".namespace", m.Namespace}, {".image", m.Image}} {
		if err := container.CheckGlob(glob.pattern); err != nil {
			report(key+glob.key, "%q %v", glob.pattern, err)
		}
	}
	switch {
	case m.Pidfile == "":
	case !filepath.IsAbs(m.Pidfile):
		report(key+".pidfile", "%q is a relative path: write the absolute path of the file, such as /run/nginx.pid", m.Pidfile)
	case strings.ContainsAny(m.Pidfile, "*?"):
		report(key+".pidfile", "%q is a glob and pidfile is the path of one file: write it in full, or each in any_of", m.Pidfile)
	}
	if m.ListenPort < 0 || m.ListenPort > 65535 {
		report(key+".listen_port", "%d is not a TCP port: write a number from 1 to 65535", m.ListenPort)
	}
}

// upTo returns the folders of a path before the first that has a glob.
func upTo(path string) string {
	plain, _, _ := strings.Cut(path, "*")
	plain, _, _ = strings.Cut(plain, "?")
	return filepath.Clean("/" + plain[:strings.LastIndex(plain, "/")+1])
}

// Each calls visit with these conditions and those of any_of, and the key of each.
func (m *Match) Each(key string, visit func(key string, m *Match)) {
	visit(key, m)
	for i := range m.AnyOf {
		m.AnyOf[i].Each(fmt.Sprintf("%s.any_of[%d]", key, i), visit)
	}
}

// Warnings names what may well be right later: a pidfile that does not exist yet.
func (m *Match) Warnings(rootfs string) []string {
	if m.Pidfile == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(rootfs, m.Pidfile)); err != nil {
		return []string{fmt.Sprintf("pidfile %s cannot be read yet: no process is matched before it can", m.Pidfile)}
	}
	return nil
}

func shorten(comm string) string { return comm[:min(len(comm), maxComm)] }

// regexpError returns the message of a regexp error without the package's name.
func regexpError(err error) string { return strings.TrimPrefix(err.Error(), "error parsing regexp: ") }
