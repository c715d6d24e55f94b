package hostcheck

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/needs"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// folderFacts are what the kernel says of a folder.
type folderFacts struct {
	err          error // of looking at it: it does not exist, or does not answer
	list, change error // what the kernel would say to listing it, and to a change of what is in it
	readOnly     bool  // the mount, as this process sees it
	mode         fs.FileMode
	uid, gid     int
}

// askFolder asks about a folder, once, and for 2 s at most.
func (l *look) askFolder(dir string) folderFacts {
	if known, ok := l.now[dir]; ok {
		return known
	}
	facts, err := config.Ask(l.Checks, dir, func() folderFacts { return askKernel(dir) })
	if err != nil {
		facts.err = err
	}
	l.now[dir] = facts
	return facts
}

func askKernel(dir string) (f folderFacts) {
	info, err := os.Stat(dir)
	if err != nil {
		f.err = err
		return f
	}
	f.mode = info.Mode()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		f.uid, f.gid = int(st.Uid), int(st.Gid)
	}
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) == nil {
		f.readOnly = st.Flags&unix.ST_RDONLY != 0
	}
	f.list, f.change = safefs.MayList(dir), safefs.MayChange(dir)
	return f
}

// folders adds what will not work with the folders of a target.
func (l *look) folders(t *config.Target) {
	host := t.Rooted(func(dir string) string { return dir })
	for _, k := range policy.Kinds {
		for _, p := range host.Of(k.Name) {
			if p.CommonKeys().Foreign() {
				continue // the dry run has looked at it as the target has it
			}
			of := k.Name + " " + p.CommonKeys().Name
			for _, place := range p.Places() {
				if *place.Dir == "" {
					continue
				}
				facts := l.askFolder(l.Host.Join(*place.Dir))
				if place.Key != policy.KeyQuarantine {
					l.readable(t.Name, of, *place.Dir, &facts)
				}
				l.changeable(t.Name, of, *place.Dir, &facts)
			}
		}
	}
	for i := range l.Plan[t.Name] {
		l.planned(t.Name, &l.Plan[t.Name][i])
	}
}

// readable adds what keeps this process from seeing the files of a folder.
func (l *look) readable(target, of, dir string, f *folderFacts) {
	denied := f.list
	if errors.Is(f.err, fs.ErrPermission) {
		denied = f.err
	}
	if denied == nil || !errors.Is(denied, fs.ErrPermission) {
		return // it is there and can be read, or the configuration's own warnings say what is wrong with it
	}
	l.add(Finding{
		Target: target, Of: of, Feature: needs.Folders, Problem: fmt.Sprintf("%s cannot be read: %s", dir, reason(denied)),
		Unit: l.groupOr(f, 0o050, needs.Folders),
	})
}

// changeable adds what keeps this process from removing files from a folder.
func (l *look) changeable(target, of, dir string, f *folderFacts) {
	finding := Finding{Target: target, Of: of, Feature: needs.Remove}
	if f.err != nil {
		return
	}
	if f.readOnly || errors.Is(f.change, unix.EROFS) {
		finding.Problem = dir + " is read-only for this process"
		finding.Unit = []string{strings.ReplaceAll(needs.Of(needs.Remove).Unit[0], "-"+needs.Dir, unitPath(dir))}
		l.add(finding)
	}
	if errors.Is(f.change, fs.ErrPermission) {
		finding.Problem, finding.Do = fmt.Sprintf("files cannot be removed from %s: %s", dir, reason(f.change)), ""
		finding.Unit = l.groupOr(f, 0o030, needs.Remove)
		l.add(finding)
	}
	if f.mode&fs.ModeSticky != 0 && f.uid != l.self.uid && len(l.lacks(needs.Sticky)) > 0 {
		finding.Feature, finding.Do = needs.Sticky, ""
		finding.Problem = dir + " has the sticky bit: files of other users cannot be removed from it"
		finding.Unit = capabilityLines(l.lacks(needs.Sticky))
		l.add(finding)
	}
}

// groupOr returns the line that adds the group of a folder, where the group has these bits and this process
// is not in it, and else the capability of a feature.
func (l *look) groupOr(f *folderFacts, bits fs.FileMode, feature needs.Name) []string {
	if f.err == nil && f.gid != 0 && f.mode.Perm()&bits == bits && !l.self.inGroup(f.gid) {
		name := strconv.Itoa(f.gid)
		if g, err := user.LookupGroupId(name); err == nil {
			name = g.Name
		}
		return []string{"SupplementaryGroups=" + name}
	}
	return capabilityLines(l.lacks(feature))
}

// ownerOf returns the user of a file, -1 where it cannot be looked at.
func ownerOf(path string) int {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return -1
	}
	return int(st.Uid)
}

// reason is an error of the kernel without its call and its path.
func reason(err error) string {
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// planned adds what a dry run foresees below the folder itself, where nothing is said of that yet.
func (l *look) planned(target string, r *action.PolicyResult) {
	of := r.Kind + " " + r.Policy
	say := func(key string, feature needs.Name, what string, unit []string) {
		n := r.Skipped[key]
		for i := range l.report.Findings {
			if f := &l.report.Findings[i]; f.Target == target && f.Of == of && (f.Feature == feature || f.Feature == needs.Folders) {
				return
			}
		}
		if n > 0 {
			l.add(Finding{Target: target, Of: of, Feature: feature, Problem: fmt.Sprintf("%d entries below %s: %s", n, r.Dir, what), Unit: unit})
		}
	}
	denied := needs.Remove
	if len(l.lacks(needs.Folders)) > 0 {
		denied = needs.Folders
	}
	say("error_EACCES", denied, "permission denied", capabilityLines(l.lacks(denied)))
	if r.Place == "" { // a mount of the target's own is not for the unit to change
		say("error_EROFS", needs.Remove, "read-only for this process", []string{"ReadWritePaths=" + unitPath(r.Dir)})
	}
	say("error_EPERM", needs.Sticky, "operation not permitted: folders with the sticky bit, or files that are immutable", capabilityLines(l.lacks(needs.Sticky)))
	say(string(safefs.NoLease), needs.InUse, "it cannot be found out whether they are open, so they stay", capabilityLines(l.lacks(needs.InUse)))
}

// journal adds what keeps a record of what is done from being written. Dry runs are kept in memory then. A journal that
// this user may not read is not taken for one that does not exist: it is that of the service.
func (l *look) journal() {
	var first *Finding
	for _, dir := range l.Config.Journal.Dirs() {
		f := l.journalIn(dir)
		if f != nil && first == nil {
			first = f
		}
		if f == nil {
			if first != nil && first.Unknown {
				first.Problem += fmt.Sprintf("; a journal of this user would be in %s, which is another one", dir)
				break
			}
			return
		}
	}
	if first != nil {
		l.add(*first)
	}
}

// journalIn returns what keeps the journal from being in a folder, nil when nothing does.
func (l *look) journalIn(dir string) *Finding {
	at := dir
	facts := l.askFolder(at)
	for errors.Is(facts.err, fs.ErrNotExist) && at != "/" {
		at = filepath.Dir(at)
		facts = l.askFolder(at)
	}
	err := facts.change
	switch {
	case facts.err != nil:
		err = facts.err
	case facts.readOnly:
		err = unix.EROFS
	}
	if err == nil {
		return nil
	}
	f := &Finding{Of: "journal", Feature: needs.Journal, Problem: fmt.Sprintf("the journal cannot be written to %s: %s", dir, reason(err))}
	install := fmt.Sprintf("sudo install -d -o %s -m 0750 %s", quoted(l.self.user), quoted(dir))
	row := needs.Of(needs.Journal)
	switch {
	case at == dir && (errors.Is(facts.list, fs.ErrPermission) || errors.Is(facts.err, fs.ErrPermission)):
		f.Problem, f.Unknown = fmt.Sprintf("%s may not read %s: what the exporter of another user has recorded there, and whether it can, is not known", l.self.user, dir), true
		f.Do = "run this as the user of the exporter, or with sudo; if that is this user: " + install
	case dir == row.Path && l.self.systemd:
		f.Unit = row.Unit
	case errors.Is(err, unix.EROFS):
		f.Unit = []string{"ReadWritePaths=" + unitPath(at)}
	default:
		f.Do = install
	}
	return f
}
