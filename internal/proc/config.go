package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/container"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

// maxComm is the length of a process name that the kernel keeps (TASK_COMM_LEN less the NUL).
const maxComm = 15

// MaxTop is the largest number of groups that discovery may show as targets.
const MaxTop = 200

// Config says which processes belong to one target.
type Config struct {
	Match    Match  `yaml:"match"`    // conditions that must all hold; at least one
	Children bool   `yaml:"children"` // descendants of a member are members too, whatever their name
	Exclude  *Match `yaml:"exclude"`  // the same conditions; a process that fulfils all of them is never a member

	ThreadNames bool `yaml:"thread_names"` // count the threads by name, at most 20 names; a reading takes about 8 µs for each thread, every 30 s
}

// Match is a set of conditions on one process. Conditions that are empty are not asked.
type Match struct {
	Comm    string `yaml:"comm"`    // the process name, as ps -o comm shows it; at most 15 bytes
	Exe     string `yaml:"exe"`     // the program file: an absolute path, or its base name
	Cmdline string `yaml:"cmdline"` // a regular expression on the command line, arguments joined by blanks
	User    string `yaml:"user"`    // the effective user: a name or a number

	Cgroup      string `yaml:"cgroup"`       // an absolute cgroup path, as /proc/PID/cgroup shows it; those below it too
	SystemdUnit string `yaml:"systemd_unit"` // a unit of systemd, such as nginx.service; .service may be left out
	Container   string `yaml:"container"`    // a glob on the name of the container that it runs in: in its pod, or as Docker, Podman or containerd know it
	Pod         string `yaml:"pod"`          // a glob on the name of the Kubernetes pod, with or without what changes with each start
	Namespace   string `yaml:"namespace"`    // a glob on the namespace of the pod
	Image       string `yaml:"image"`        // a glob on the image of the container, as it was asked for

	Pidfile    string `yaml:"pidfile"`     // an absolute path of a file that holds the number of a process
	ListenPort int    `yaml:"listen_port"` // a TCP port that the process listens on
}

// conditions names the keys of Match for messages.
const conditions = "comm, exe, cmdline, user, cgroup, systemd_unit, container, pod, namespace, image, pidfile and listen_port"

// Discover asks for the largest groups of processes of the host as targets of their own.
type Discover struct {
	By  string `yaml:"by"`  // what makes processes one group
	Top int    `yaml:"top"` // how many groups are shown; the rest is one target, _overflow
}

// Empty reports whether no condition is set.
func (m *Match) Empty() bool { return *m == Match{} }

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
		if !c.Match.Empty() && *c.Exclude == c.Match {
			report("exclude", "has the same conditions as match, so nothing would be left: write a narrower exclude or remove it")
		}
	}
}

func (m *Match) validate(key string, report report.Func) {
	if len(m.Comm) > maxComm {
		report(key+".comm", "%q has %d bytes and the kernel keeps %d, so it would never match: write %q, or exe: %s, or a cmdline",
			m.Comm, len(m.Comm), maxComm, m.Comm[:maxComm], m.Comm)
	}
	if strings.Contains(m.Comm, "/") && filepath.IsAbs(m.Comm) {
		report(key+".comm", "%q is a path and comm is a name: write exe: %s or comm: %s", m.Comm, m.Comm, shorten(filepath.Base(m.Comm)))
	}
	if strings.Contains(m.Exe, "/") && !filepath.IsAbs(m.Exe) {
		report(key+".exe", "%q is a relative path: write the absolute path of the program or its base name, %s", m.Exe, filepath.Base(m.Exe))
	} else if strings.HasSuffix(m.Exe, "/") {
		report(key+".exe", "%q is a folder: write the absolute path of the program, such as /usr/bin/node", m.Exe)
	}
	if m.Cmdline != "" {
		if _, err := regexp.Compile(m.Cmdline); err != nil {
			report(key+".cmdline", "%s: write a Go (RE2) regular expression, with \\ before a character that is meant literally", regexpError(err))
		}
	}
	if m.User != "" {
		if _, err := hostfs.UserID(m.User); err != nil {
			report(key+".user", "%s", err)
		}
	}
	m.validateService(key, report)
}

// validateService checks the conditions on the service that a process is of: its cgroup, unit,
// pidfile and port.
func (m *Match) validateService(key string, report report.Func) {
	switch {
	case m.Cgroup == "":
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
	if m.Pidfile != "" && !filepath.IsAbs(m.Pidfile) {
		report(key+".pidfile", "%q is a relative path: write the absolute path of the file, such as /run/nginx.pid", m.Pidfile)
	}
	if m.ListenPort < 0 || m.ListenPort > 65535 {
		report(key+".listen_port", "%d is not a TCP port: write a number from 1 to 65535", m.ListenPort)
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

// The keys by which discovery groups processes.
const (
	ByComm   = "comm"
	ByUnit   = "systemd_unit"
	ByCgroup = "cgroup"
	ByUser   = "user"

	ByContainer = "container" // and by unit what is in none
	ByPod       = "pod"       // and by container what is in none
)

// Validate applies the defaults and reports every mistake.
func (d *Discover) Validate(report report.Func) {
	switch {
	case d.By == "":
		d.By = ByComm
	case !slices.Contains([]string{ByComm, ByUnit, ByCgroup, ByContainer, ByPod, ByUser}, d.By):
		report("by", "%q is nothing to group by: write comm, systemd_unit, container, pod, cgroup or user", d.By)
	}
	switch {
	case d.Top == 0:
		d.Top = 20
	case d.Top < 0 || d.Top > MaxTop:
		report("top", "%d groups cannot be shown: write a number from 1 to %d", d.Top, MaxTop)
	}
}
