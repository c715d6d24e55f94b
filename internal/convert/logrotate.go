package convert

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Logrotate returns policies of logs for a configuration of logrotate and what it includes. With ErrNothing the text
// is comments alone.
func Logrotate(file string, raw []byte) ([]byte, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("is not UTF-8, as a configuration has to be")
	}
	r, err := readLogrotate(file, raw)
	if err != nil {
		return nil, err
	}
	c := lrConverter{used: make(names), byProcesses: make(map[string]int)}
	for i := range r.sections {
		c.section(&r.sections[i])
	}
	return write(append(lrHeader(file), r.notes...), c.targets)
}

func lrHeader(file string) []string {
	return []string{
		"From " + filepath.Base(file) + " of logrotate. A log is rotated when it is over its size or due by time, at the daily run or on an alert. What has been",
		"rotated is called app.log.20260102T150405Z, or app.log-20260102 with date_ext, and .gz at once with compress. What logrotate has rotated before counts",
		"with date_ext; under other names it is not known here, and stays.",
	}
}

// lrConverter makes the targets.
type lrConverter struct {
	targets     []target
	used        names
	byProcesses map[string]int // targets by whom they signal, "" for no one
	before      []entry        // all policies so far
}

// section adds the policies of a section: one for each folder.
func (c *lrConverter) section(s *section) {
	where := fmt.Sprintf("%s:%d: %s", filepath.Base(s.file), s.line, strings.Join(s.paths, " "))
	var dirs []string
	include := make(map[string][]string)
	for _, p := range s.paths {
		dir, name := path.Split(p)
		dir = path.Clean(dir)
		g, ok := glob(name)
		switch {
		case !strings.HasPrefix(p, "/"):
			c.add("", entry{comments: []string{where + ": " + p + " is not absolute"}})
		case isGlob(dir):
			c.add("", entry{comments: []string{where + ": " + p + ": the folder has wildcards, and dir is one folder: write a policy for each"}})
		case !ok || name == "":
			c.add("", entry{comments: []string{where + ": " + p + ": the name cannot be said as a glob of include"}})
		default:
			if !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
			include[dir] = append(include[dir], g)
		}
	}
	for _, dir := range dirs {
		c.policy(s, where, dir, include[dir])
	}
}

// add adds a policy to the target of the processes that are signalled.
func (c *lrConverter) add(processes string, e entry) {
	i, ok := c.byProcesses[processes]
	if !ok {
		i = len(c.targets)
		c.byProcesses[processes] = i
		name := "logrotate"
		if processes != "" {
			name = c.used.next("logrotate-" + lastWord(processes))
		}
		c.targets = append(c.targets, target{name: name, processes: processes})
	}
	c.targets[i].logs = append(c.targets[i].logs, e)
	c.before = append(c.before, e)
}

func lastWord(processes string) string {
	return strings.TrimSuffix(path.Base(strings.TrimRight(processes[strings.LastIndexByte(processes, ' ')+1:], "}'")), ".pid")
}

// policy adds the policy of one folder of a section.
func (c *lrConverter) policy(s *section, where, dir string, include []string) {
	e := entry{comments: []string{where}}
	note := func(format string, args ...any) { e.comments = append(e.comments, fmt.Sprintf(format, args...)) }
	l := &policy.Log{Common: policy.Common{Dir: dir, Include: include, Recursive: new(false), SizeBy: policy.SizeApparent}, Compress: s.set.compress, Every: units.Duration(24 * time.Hour)}
	size := s.set.bytes(l, note)
	var err error
	if l.MaxBytes, err = parseSize(size); size != "" && err != nil {
		e.comments[0] += ": " + err.Error()
		c.add("", e)
		return
	}
	keep := s.set.keeps(note)
	if l.RotateAfter > 0 && keep == 0 {
		note("rotate 0 with a time: one rotated log stays, since it says when the log was last rotated")
		keep = 1
	}
	l.KeepFiles = &keep
	if s.set.maxAge > mostDays {
		note("maxage %d: nothing is that old", s.set.maxAge)
	} else if s.set.maxAge > 0 {
		l.MaxAge = units.Duration(time.Duration(s.set.maxAge) * 24 * time.Hour)
	}
	s.set.naming(l, note)
	processes := s.set.reopening(l, note)
	s.set.others(l, note)
	why := checkDir(dir)
	if why == "" {
		l.Name = c.used.next(dir)
		why = mistakes(l)
	}
	if why == "" {
		why = conflicts(l, c.before)
	}
	if why != "" {
		e.comments[0] += ": " + why
		c.add("", entry{comments: e.comments[:1]})
		return
	}
	e.policy, e.keys = l, lrKeys(l)
	c.add(processes, e)
}

func lrKeys(l *policy.Log) []string {
	keys := []string{
		"name: " + l.Name, "dir: " + Quote(l.Dir), "include: " + quoteAll(l.Include), "recursive: false", "size_by: apparent",
	}
	add := func(is bool, key string) {
		if is {
			keys = append(keys, key)
		}
	}
	add(l.MaxBytes > 0, "max_bytes: "+size(l.MaxBytes))
	add(l.RotateAfter > 0, "rotate_after: "+l.RotateAfter.String())
	add(true, "keep_files: "+strconv.FormatInt(*l.KeepFiles, 10))
	add(l.DateExt, "date_ext: true")
	add(l.OldDir != "", "olddir: "+Quote(l.OldDir))
	add(l.MaxAge > 0, "max_age: "+l.MaxAge.String())
	add(l.Compress, "compress: true")
	add(len(l.Owner) > 0, "owner: "+quoteAll(l.Owner))
	keys = append(keys, "rotate: "+l.Rotate)
	add(l.Signal != "", "signal: "+l.Signal)
	return append(keys, "every: "+l.Every.String())
}

func size(b units.Bytes) string {
	text, err := b.MarshalText()
	if err != nil {
		return strconv.FormatInt(int64(b), 10)
	}
	return string(text)
}

// turns are how long it takes until logrotate rotates a log by time.
var turns = map[string]time.Duration{"hourly": time.Hour, "daily": 24 * time.Hour, "weekly": 7 * 24 * time.Hour, "monthly": 30 * 24 * time.Hour, "yearly": 365 * 24 * time.Hour}

// bytes returns the size above which a log is rotated, "" where none decides, and sets when one is rotated by time. logrotate
// asks for minsize and maxsize in addition to a time.
func (s *settings) bytes(l *policy.Log, note func(string, ...any)) string {
	switch {
	case s.every != "" && s.minSize != "":
		note("%s with minsize: here a log goes as soon as it is larger, not only when the time has come", s.every)
		return s.minSize
	case s.every != "":
		l.RotateAfter = units.Duration(turns[s.every])
		if s.every == "hourly" {
			l.Every = l.RotateAfter
		}
		if s.every == "monthly" || s.every == "yearly" {
			note("%s is said as every %s", s.every, l.RotateAfter)
		}
		return s.max
	case s.max != "" && less(s.max, s.size):
		return s.max
	}
	return s.size
}

// naming sets how rotated logs are called, and where they go.
func (s *settings) naming(l *policy.Log, note func(string, ...any)) {
	switch {
	case s.dateExt && !s.ownDates && s.every != "hourly":
		l.DateExt = true
	case s.dateExt:
		note("no counterpart: names with a date of another form; what has been rotated is named by the second")
	}
	dir := s.oldDir
	if path.IsAbs(dir) && path.Dir(path.Clean(dir)) == l.Dir {
		dir = path.Base(dir)
	}
	if strings.Contains(dir, "/") {
		note("no counterpart: olddir %s, which is not a folder next to the log", s.oldDir)
		return
	}
	l.OldDir = dir
}

// parseSize reads a size as logrotate has it: k, M and G are binary.
func parseSize(text string) (units.Bytes, error) {
	if n := len(text) - 1; n > 0 && strings.IndexByte("kMG", text[n]) >= 0 {
		text = text[:n] + strings.ToUpper(text[n:]) + "iB"
	}
	return units.ParseBytes(text)
}

func less(a, b string) bool {
	x, errX := parseSize(a)
	y, errY := parseSize(b)
	return errX == nil && errY == nil && x < y
}

const (
	mostKept = 1000
	mostDays = 36500 // far below where a duration wraps around
)

func (s *settings) keeps(note func(string, ...any)) int64 {
	if s.rotate < 0 || s.rotate > mostKept {
		note("rotate %d: at most %d are kept", s.rotate, mostKept)
		return mostKept
	}
	return int64(s.rotate)
}

// reopening decides how the writer goes on, and returns who is signalled.
func (s *settings) reopening(l *policy.Log, note func(string, ...any)) (processes string) {
	l.Rotate = policy.RotateCopyTruncate
	if s.copies {
		if s.after != "" {
			note("postrotate is not said here: %s", s.after)
		}
		return ""
	}
	signal, processes, ok := readScript(s.after)
	switch {
	case ok:
		l.Rotate, l.Signal = policy.RotateRename, signal
		return processes
	case s.after != "":
		note("postrotate is not a signal that is understood here, and is not said: %s", s.after)
	}
	note("the log is copied and cut, since no one is signalled here; write rotate: rename with signal, and processes, where the program opens its log anew")
	return ""
}

// others names what else has no counterpart.
func (s *settings) others(l *policy.Log, note func(string, ...any)) {
	for _, d := range s.said {
		note("no counterpart: %s", d)
	}
	for _, name := range s.scripts {
		note("the script %s is not said here", name)
	}
	user := s.user()
	if user == "" || user == "root" {
		return
	}
	if _, err := hostfs.UserID(user); err != nil {
		note("owner is not written: %v", err)
		return
	}
	l.Owner = []string{user}
}

// user returns whose the logs are, as far as su and create say it.
func (s *settings) user() string {
	if fields := strings.Fields(s.su); len(fields) > 0 {
		return fields[0]
	}
	fields := strings.Fields(s.create)
	if len(fields) > 0 && strings.Trim(fields[0], "01234567") == "" {
		fields = fields[1:] // the mode
	}
	if len(fields) == 0 {
		return ""
	}
	return fields[0]
}
