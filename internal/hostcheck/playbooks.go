package hostcheck

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/needs"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

// playbooks adds what keeps the steps of a target from doing what they are for.
func (l *look) playbooks(t *config.Target) {
	if slices.ContainsFunc(t.Logs, func(p policy.Log) bool { return p.Renames() }) {
		l.signals(t, "logs")
	}
	if t.Heap.Signals() {
		l.signals(t, "heap")
	}
	books := setup.Playbooks(t, t.Has)
	for _, name := range slices.Sorted(maps.Keys(books)) {
		for _, step := range books[name].Steps {
			spec, _ := action.SpecOf(step.Do)
			of := "playbook " + name
			switch spec.Host {
			case needs.Command:
				if with, ok := step.With.(*action.CommandSettings); ok {
					l.command(t.Name, of, with.Argv)
				}
			case needs.Signal:
				l.signals(t, of)
			case needs.Restart:
				if with, ok := step.With.(*action.RestartSettings); ok {
					l.restart(t, of, with)
				}
			case needs.Reclaim:
				l.reclaim(t, of)
			}
		}
	}
}

// watchers adds the same for the commands of watchers.
func (l *look) watchers() {
	for i := range l.Config.Watchers {
		if argv := l.Config.Watchers[i].Command; len(argv) > 0 {
			l.command("", fmt.Sprintf("watchers[%d]", i), argv)
		}
	}
}

// reclaim adds what keeps the kernel from being asked to reclaim memory of a target's cgroup.
func (l *look) reclaim(t *config.Target, of string) {
	f := Finding{Target: t.Name, Of: of, Feature: needs.Reclaim}
	if v2, _ := l.Cgroups.Versions(l.Now); !v2 {
		f.Problem, f.Do = "reclaim_cgroup needs cgroups of version 2, which this host has not", "boot with systemd.unified_cgroup_hierarchy=1"
		l.add(f)
		return
	}
	base := filepath.Join(l.Cgroups.Sysfs(l.Now), "fs/cgroup")
	file := base
	if u, err := l.Tracker.Usage(t.Name); err == nil && u.CgroupV2 != "" {
		groups, err := l.Cgroups.Find(l.Now, u.CgroupV2, "")
		if err == nil && len(groups) > 0 && len(groups[0].Dirs) > 0 {
			file = filepath.Join(groups[0].Dirs[0], "memory.reclaim")
		}
	}
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		f.Problem, f.Do = file+" does not exist: it takes Linux 5.19, and the memory controller in that cgroup", "use a newer kernel; under systemd write MemoryAccounting=yes for the service"
		l.add(f)
		return
	}
	row := needs.Of(needs.Reclaim)
	var st unix.Statfs_t
	if unix.Statfs(base, &st) == nil && st.Flags&unix.ST_RDONLY != 0 {
		f.Problem, f.Unit = base+" is read-only for this process", slices.Clone(row.Unit)
		l.add(f)
	}
	if uid := ownerOf(file); uid != l.self.uid && len(l.lacks(needs.Reclaim)) > 0 {
		f.Problem, f.Do = "memory.reclaim belongs to another user", ""
		f.Unit = capabilityLines(l.lacks(needs.Reclaim))
		l.add(f)
	}
}

// programFacts are what the kernel says of a program.
type programFacts struct {
	err      error // of running it
	raises   bool  // it runs with rights of its own: set-user-ID or set-group-ID
	compiles bool
}

func askProgram(path string) (f programFacts) {
	info, err := os.Stat(path)
	if err == nil {
		err = unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, 0)
	}
	if err != nil {
		f.err = err
		return f
	}
	f.raises, f.compiles = info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0, compiles(path)
	return f
}

// command adds what keeps a program from being run, or from doing what it is for.
func (l *look) command(target, of string, argv []string) {
	if len(argv) == 0 {
		return
	}
	facts, err := config.Ask(l.Checks, argv[0], func() programFacts { return askProgram(argv[0]) })
	if err != nil {
		return // the configuration's warnings say so
	}
	f := Finding{Target: target, Of: of, Feature: needs.Command}
	if facts.err != nil {
		f.Problem = fmt.Sprintf("%s cannot be run: %s", argv[0], reason(facts.err))
		f.Do = "install it, or let " + l.self.user + " run it: chmod a+rx"
		l.add(f)
		return
	}
	if facts.raises && l.self.noNewPrivs {
		f.Problem = argv[0] + " gains no rights here, since NoNewPrivileges is set"
		f.Do = "call systemctl with a polkit rule, or a service that runs as the other user"
		l.add(f)
	}
	if facts.compiles && executableMemoryRefused() {
		f.Feature, f.Problem, f.Do = needs.Compile, argv[0]+" compiles at run time, and memory that is written and executed is refused", ""
		f.Unit = slices.Clone(needs.Of(needs.Compile).Unit)
		l.add(f)
	}
	if verb, units := systemctl(argv); len(units) > 0 {
		l.polkit(target, of, verb, units)
	}
}

// compilers are programs that write code and execute it.
var compilers = []string{"node", "nodejs", "java", "deno", "bun", "luajit", "dotnet"}

// compiles reports whether a program, or the interpreter of a script, is one of compilers.
func compiles(program string) bool {
	if real, err := filepath.EvalSymlinks(program); err == nil && slices.Contains(compilers, filepath.Base(real)) {
		return true
	}
	if slices.Contains(compilers, filepath.Base(program)) {
		return true
	}
	f, err := os.Open(program)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := f.Read(head)
	line, _, _ := strings.Cut(string(head[:n]), "\n")
	if !strings.HasPrefix(line, "#!") {
		return false
	}
	return slices.ContainsFunc(strings.Fields(line[2:]), func(word string) bool { return slices.Contains(compilers, filepath.Base(word)) })
}

// executableMemoryRefused asks for a page that may be written and executed, and gives it back.
func executableMemoryRefused() bool {
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return true
	}
	_ = unix.Munmap(page)
	return false
}
