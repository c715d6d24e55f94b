package hostcheck

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/needs"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

// lookEnv makes the test binary look at a configuration and print the report. Its value is the file;
// systemdEnv, when set, has it behave as on a host that systemd runs.
const (
	lookEnv    = "SPILLWAY_TEST_LOOK"
	systemdEnv = "SPILLWAY_TEST_SYSTEMD"
)

func TestMain(m *testing.M) {
	file := os.Getenv(lookEnv)
	if file == "" {
		os.Exit(m.Run())
	}
	if err := printReport(os.Stdout, file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func printReport(w io.Writer, file string) error {
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	host := hostfs.Roots{ProcFS: "/proc", SysFS: "/sys"}
	cgroups := setup.NewCgroups(host)
	tracker, err := setup.NewTracker(cfg, host, cgroups, nil)
	if err != nil {
		return err
	}
	defer tracker.Close()
	if err := tracker.Refresh(context.Background(), time.Now()); err != nil {
		return err
	}
	me := readSelf()
	me.systemd = os.Getenv(systemdEnv) != ""
	o := Options{Config: cfg, Checks: new(config.Checks), Host: host, Tracker: tracker, Cgroups: cgroups, Now: time.Now()}
	if raw := os.Getenv("SPILLWAY_TEST_PLAN"); raw != "" {
		if err := json.Unmarshal([]byte(raw), &o.Plan); err != nil {
			return err
		}
	}
	return json.NewEncoder(w).Encode(lookAs(o, me))
}

// stranger is the id of a user without any right.
const stranger = 65534

// someone runs the test binary as that user with capabilities, and returns its report.
type someone struct {
	dir, program string
}

func newSomeone(t *testing.T) *someone {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	dir, err := os.MkdirTemp("/var/tmp", "hostcheck") // a folder of the test itself is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	text, err := os.ReadFile(os.Args[0])
	must(t, err)
	s := &someone{dir: dir, program: dir + "/test"}
	must(t, os.WriteFile(s.program, text, 0o755))
	must(t, os.Mkdir(dir+"/journal", 0o755))
	must(t, os.Chown(dir+"/journal", stranger, stranger))
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// folder makes a folder of root.
func (s *someone) folder(t *testing.T, name string, mode os.FileMode, gid int) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	must(t, os.Mkdir(path, 0o700))
	must(t, os.Chown(path, 0, gid))
	must(t, os.Chmod(path, mode))
	return path
}

func (s *someone) look(t *testing.T, text string, capabilities []uintptr, env ...string) *Report {
	t.Helper()
	file := s.dir + "/spillway.yml"
	must(t, os.WriteFile(file, []byte("journal: {dir: "+s.dir+"/journal}\n"+text), 0o644))
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), s.program)
	cmd.Dir = "/"
	cmd.Env = append([]string{lookEnv + "=" + file, systemdEnv + "=1"}, env...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}, AmbientCaps: capabilities}
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	r := new(Report)
	must(t, json.Unmarshal(out.Bytes(), r))
	return r
}

// lines are what a report says of everything but the host, one finding a line.
func lines(r *Report) []string {
	var out []string
	for _, f := range r.Findings {
		if f.Target != "" || f.Of != "" {
			out = append(out, fmt.Sprintf("%s %s: %s | %s %s", f.Of, f.Feature, f.Problem, strings.Join(f.Unit, " "), f.Do))
		}
	}
	return out
}

// TestFolders: each right to a folder that is missing is named with the line that gives it, and with that
// line nothing is missing.
func TestFolders(t *testing.T) {
	s := newSomeone(t)
	closed, group, sticky := s.folder(t, "closed", 0o700, 0), s.folder(t, "group", 0o2770, 4321), s.folder(t, "sticky", 0o777|os.ModeSticky, 0)
	readOnly := s.folder(t, "readonly", 0o777, 0)
	text := func(dir string) string {
		return "targets: [{name: svc, temp_dirs: [{name: x, dir: " + dir + ", include: ['*'], max_age: 1h}]}]\n"
	}
	const readSearch, override, fowner = unix.CAP_DAC_READ_SEARCH, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER
	f := func(name, dir string, capabilities []uintptr, want ...string) {
		t.Helper()
		if got := lines(s.look(t, text(dir), capabilities)); !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	caps := func(words string) string {
		return "AmbientCapabilities=" + words + " CapabilityBoundingSet=" + words + " "
	}
	f("closed", closed, nil,
		"temp x folders: "+closed+" cannot be read: permission denied | "+caps("CAP_DAC_READ_SEARCH"),
		"temp x remove: files cannot be removed from "+closed+": permission denied | "+caps("CAP_DAC_OVERRIDE"))
	f("closed, may be read", closed, []uintptr{readSearch},
		"temp x remove: files cannot be removed from "+closed+": permission denied | "+caps("CAP_DAC_OVERRIDE"))
	f("closed, may be written", closed, []uintptr{readSearch, override})
	f("by its group", group, nil,
		"temp x folders: "+group+" cannot be read: permission denied | SupplementaryGroups=4321 ",
		"temp x remove: files cannot be removed from "+group+": permission denied | SupplementaryGroups=4321 ")
	f("sticky", sticky, nil, "temp x sticky: "+sticky+" has the sticky bit: files of other users cannot be removed from it | "+caps("CAP_FOWNER"))
	f("sticky, may remove", sticky, []uintptr{fowner})
	f("open", readOnly, nil)

	if err := unix.Mount(readOnly, readOnly, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("cannot mount here: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(readOnly, unix.MNT_DETACH) })
	must(t, unix.Mount("", readOnly, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	f("read-only", readOnly, nil, "temp x remove: "+readOnly+" is read-only for this process | ReadWritePaths=-"+readOnly+" ")
	r := s.look(t, text(readOnly), nil, systemdEnv+"=")
	if got := lines(r); len(got) != 1 || !strings.Contains(got[0], "mount it writable (in a container: no :ro") || r.DropIn != "" {
		t.Errorf("without systemd: %q, %q", got, r.DropIn)
	}
}

// TestJournalFolder: the journal's folder, or the one above it while it does not exist.
func TestJournalFolder(t *testing.T) {
	s := newSomeone(t)
	must(t, os.Chown(s.dir+"/journal", 0, 0))
	want := "journal journal: the journal cannot be written to " + s.dir + "/journal: permission denied |  sudo install -d -o nobody -m 0750 " + s.dir + "/journal" // words: the name of a user
	if got := lines(s.look(t, "discover: {by: comm, top: 1}\n", nil)); !slices.Equal(got, []string{want}) {
		t.Errorf("%q, want %q", got, want)
	}
	must(t, os.Remove(s.dir+"/journal"))
	if got := lines(s.look(t, "discover: {by: comm, top: 1}\n", nil)); !slices.Equal(got, []string{want}) {
		t.Errorf("it does not exist: %q, want %q", got, want)
	}
}

// TestJournalMayNotBeRead: a journal folder that this user may not read is that of another one, also where this user
// could have a journal elsewhere.
func TestJournalMayNotBeRead(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "/state")
	l := &look{
		Options: Options{Config: &config.Config{}}, self: self{user: "me", systemd: true}, report: &Report{},
		now: map[string]folderFacts{"/var/lib/spillway": {list: unix.EACCES, change: unix.EACCES}, "/state/spillway": {}},
	}
	l.journal()
	want := []string{"journal journal: me may not read /var/lib/spillway: what the exporter of another user has recorded there, and whether it can, is not known; " +
		"a journal of this user would be in /state/spillway, which is another one |  run this as the user of the exporter, or with sudo; if that is this user: sudo install -d -o me -m 0750 /var/lib/spillway"}
	if got := lines(l.report); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	l.report, l.now["/var/lib/spillway"] = &Report{}, folderFacts{change: unix.EACCES}
	if l.journal(); len(l.report.Findings) > 0 {
		t.Errorf("one that this user may read and not write to is not a hindrance: %+v", l.report.Findings)
	}
}

// TestSteps: what steps of playbooks need.
func TestSteps(t *testing.T) {
	s := newSomeone(t)
	script := s.dir + "/restart"
	must(t, os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755))
	text := `targets:
  - name: svc
    processes: {match: {comm: no-such-comm}}
    playbooks:
      hup: [{do: signal, signal: SIGHUP}]
      run: [{do: command, argv: [` + script + `]}]
`
	want := []string{"playbook hup signal: whether its processes may be signalled is not known: none matches now |  run check again while the service runs"}
	if got := lines(s.look(t, text, nil)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := lines(s.look(t, text, []uintptr{unix.CAP_KILL})); len(got) != 0 {
		t.Errorf("with CAP_KILL: %q", got)
	}
}

// TestPrograms: what of a program of a step will not work. A program that cannot be run at all is a mistake of
// the configuration.
func TestPrograms(t *testing.T) {
	s := newSomeone(t)
	for name, mode := range map[string]uint32{"sudo": 0o4755, "tool": 0o755, "script": 0o755} {
		must(t, os.WriteFile(s.dir+"/"+name, []byte("#!/usr/bin/env node\n"), 0o755))
		must(t, unix.Chmod(s.dir+"/"+name, mode))
	}
	must(t, os.WriteFile(s.dir+"/tool", []byte("#!/bin/sh\n"), 0o755))
	f := func(program string, want bool) {
		t.Helper()
		if got := compiles(s.dir + "/" + program); got != want {
			t.Errorf("%s compiles: %v", program, got)
		}
	}
	f("script", true)
	f("tool", false)
	if facts := askProgram(s.dir + "/sudo"); facts.err != nil || !facts.raises {
		t.Errorf("sudo: %+v", facts)
	}
	if facts := askProgram(s.dir + "/tool"); facts.err != nil || facts.raises || facts.compiles {
		t.Errorf("tool: %+v", facts)
	}
	if facts := askProgram(s.dir + "/none"); facts.err == nil {
		t.Errorf("none: %+v", facts)
	}
	if executableMemoryRefused() {
		t.Error("memory that is written and executed is refused here")
	}
}

// TestProcesses: a process of root may be looked into and signalled by root only, and by those who have
// the capabilities that are named.
func TestProcesses(t *testing.T) {
	s := newSomeone(t)
	sleep := exec.CommandContext(t.Context(), "/bin/sleep", "7654.25")
	must(t, sleep.Start())
	t.Cleanup(func() {
		_ = sleep.Process.Kill()
		_ = sleep.Wait()
	})
	text := `targets:
  - name: svc
    processes: {match: {cmdline: 'sleep 7654\.25$'}}
    memory: {proportional: true}
    playbooks:
      hup: [{do: signal, signal: SIGHUP}]
`
	want := []string{
		"processes processes: its processes belong to another user and cannot be looked into: memory.proportional | AmbientCapabilities=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CapabilityBoundingSet=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH ",
		"playbook hup signal: its processes belong to another user and may not be signalled | AmbientCapabilities=CAP_KILL CAP_SYS_PTRACE CapabilityBoundingSet=CAP_KILL CAP_SYS_PTRACE ",
	}
	if got := lines(s.look(t, text, nil)); !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	if got := lines(s.look(t, text, []uintptr{unix.CAP_KILL, unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH})); len(got) != 0 {
		t.Errorf("with the capabilities: %q", got)
	}
}

// TestPlanned: what a dry run foresees below a folder is said once, with its line.
func TestPlanned(t *testing.T) {
	s := newSomeone(t)
	dir := s.folder(t, "open", 0o777, 0)
	plan, err := json.Marshal(map[string][]action.PolicyResult{"svc": {{Policy: "x", Kind: "temp", Dir: dir, Skipped: map[string]int64{"error_EACCES": 7, "error_no_lease": 2, "too_young": 3}}}})
	must(t, err)
	text := "targets: [{name: svc, temp_dirs: [{name: x, dir: " + dir + ", include: ['*'], max_age: 1h}]}]\n"
	r := s.look(t, text, []uintptr{unix.CAP_DAC_READ_SEARCH}, "SPILLWAY_TEST_PLAN="+string(plan))
	want := []string{
		"temp x remove: 7 entries below " + dir + ": permission denied | AmbientCapabilities=CAP_DAC_OVERRIDE CapabilityBoundingSet=CAP_DAC_OVERRIDE ",
		"temp x in_use: 2 entries below " + dir + ": it cannot be found out whether they are open, so they stay | AmbientCapabilities=CAP_LEASE CapabilityBoundingSet=CAP_LEASE ",
	}
	if got := lines(r); !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	if r.DropIn != "[Service]\nAmbientCapabilities=CAP_DAC_OVERRIDE CAP_LEASE\nCapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_LEASE\n" {
		t.Errorf("drop-in %q", r.DropIn)
	}
}

// TestCapabilitiesOfTheTable: each can be asked for.
func TestCapabilitiesOfTheTable(t *testing.T) {
	for _, c := range append(needs.Capabilities(false), needs.Capabilities(true)...) {
		if _, ok := capabilityNumbers[c]; !ok {
			t.Errorf("%s has no number", c)
		}
	}
}

func TestDropIn(t *testing.T) {
	got := dropIn([]Finding{
		{Unit: []string{"ReadWritePaths=" + unitPath("/srv/a b"), "AmbientCapabilities=CAP_KILL"}},
		{Do: "nothing"},
		{Unit: []string{"AmbientCapabilities=CAP_KILL CAP_FOWNER", "ReadWritePaths=" + unitPath("/srv/50%")}},
	})
	want := "[Service]\nAmbientCapabilities=CAP_KILL CAP_FOWNER\nReadWritePaths=\"-/srv/a b\"\nReadWritePaths=-/srv/50%%\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := dropIn(nil); got != "" {
		t.Errorf("without findings: %q", got)
	}
}

func TestOlder(t *testing.T) {
	f := func(release string, want bool) {
		t.Helper()
		if got := older(release, needs.OldestKernel); got != want {
			t.Errorf("%q older than %s: %v", release, needs.OldestKernel, got)
		}
	}
	f("3.10.0-1160.el7.x86_64", true)
	f("4.17.19", true)
	f("4.18.0-553.el8_10.x86_64", false)
	f("6.1.0-56-cloud-amd64", false)
	f("", false)
	f("unknown", false)
}
