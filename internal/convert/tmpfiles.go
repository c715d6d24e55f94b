package convert

import (
	"bufio"
	"bytes"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// tmpLine is a line of tmpfiles.d(5).
type tmpLine struct {
	number   int
	text     string
	kind     byte   // its type
	marks    string // what stands behind the type
	path     string
	age      string
	unknown  string // why it cannot be read
	wildcard bool   // the path is a glob, by the type
}

// cleans reports whether what is in the path is removed by age.
func (l *tmpLine) cleans() bool { return l.age != "" && strings.IndexByte("dDevqQCxX", l.kind) >= 0 }

// Tmpfiles returns temp_dirs for what systemd-tmpfiles --clean would remove by the lines of a file of tmpfiles.d(5).
// With ErrNothing the text is comments alone.
func Tmpfiles(file string, raw []byte) ([]byte, error) {
	lines := readTmpfiles(raw)
	t := target{name: "tmpfiles"}
	used := make(names)
	seen := make(map[string]int)
	for i := range lines {
		l := &lines[i]
		e := entry{comments: []string{fmt.Sprintf("%s:%d: %s", filepath.Base(file), l.number, l.text)}}
		no := func(format string, args ...any) { e.comments[0] += ": " + fmt.Sprintf(format, args...) }
		first, twice := seen[l.path]
		switch {
		case l.unknown != "":
			no("%s", l.unknown)
		case strings.Contains(l.marks, "!"):
			no("is for the boot, and never cleaned while the host runs")
		case twice && !l.wildcard:
			no("line %d has the same path, and holds", first)
		case l.kind == 'x' || l.kind == 'X' && !l.cleans():
			no("%s", ignores(l.kind))
		case !l.cleans():
			no("%s", creates(l.kind))
		case isGlob(l.path) && l.wildcard:
			no("has wildcards, and dir is one folder: write a policy for each, with include: ['*', '.*'] and max_age: %s", l.age)
		default:
			t.policy(&e, l, lines, used, no)
		}
		if _, ok := seen[l.path]; !ok {
			seen[l.path] = l.number
		}
		t.temps = append(t.temps, e)
	}
	return write(tmpHeader(file), []target{t})
}

func tmpHeader(file string) []string {
	return []string{
		"From " + filepath.Base(file) + ", for systemd-tmpfiles --clean. These stay here, and go there: folders, links, sockets and pipes; files that are open, or",
		"younger than a minute; files of others than the folder's owner, unless owner lists them; and names such as lock or .gitkeep, unless include has them.",
	}
}

func ignores(kind byte) string {
	if kind == 'X' {
		return "keeps the path itself, and not what is in a folder: no policy removes a folder; where it is a file, write it under exclude"
	}
	return "stands under exclude of the folders that it is in"
}

func creates(kind byte) string {
	switch kind {
	case 'r', 'R':
		return "is removed at boot and by --remove, not by age: nothing to say"
	case 'D':
		return "is emptied at boot and by --remove, not by age: nothing to say"
	}
	return "has no age, so nothing of it is cleaned: nothing to say"
}

// policy completes the entry of a line that cleans a folder.
func (t *target) policy(e *entry, l *tmpLine, lines []tmpLine, used names, no func(string, ...any)) {
	age, err := parseTmpAge(l.age)
	if err != nil {
		no("%v", err)
		return
	}
	p := &policy.Temp{Common: policy.Common{Dir: l.path, Include: []string{"*", ".*"}, AgeBy: age.by}, MaxAge: age.max, Every: units.Duration(24 * time.Hour)}
	switch {
	case age.deeper:
		no("~ spares what lies in the folder itself, which cannot be said: write a policy for each of its sub-folders")
		return
	case age.by == "":
		no("no time of a file is measured by %q: write m, c or a", age.letters)
		return
	}
	if why := checkDir(l.path); why != "" {
		no("%s", why)
		return
	}
	for i := range lines {
		if o := &lines[i]; o != l && o.unknown == "" {
			if below, ok := o.below(l.path); ok {
				p.Exclude = append(p.Exclude, below)
			}
		}
	}
	p.Name = used.next(l.path)
	if why := mistakes(p); why != "" {
		no("%s", why)
		return
	}
	if why := conflicts(p, t.temps); why != "" {
		no("%s", why)
		return
	}
	e.comments = append(e.comments, age.notes...)
	if l.kind == 'D' {
		e.comments = append(e.comments, "the folder is emptied at boot, too: that is not said here")
	}
	e.policy = p
	e.keys = []string{"name: " + p.Name, "dir: " + Quote(p.Dir), "include: " + quoteAll(p.Include)}
	if len(p.Exclude) > 0 {
		e.keys = append(e.keys, "exclude: "+quoteAll(p.Exclude))
	}
	e.keys = append(e.keys, "max_age: "+p.MaxAge.String(), "age_by: "+p.AgeBy, "every: 1d")
}

// below returns what is excluded below a folder because a line has a path of its own there: what that line
// says holds for it, be it nothing.
func (l *tmpLine) below(dir string) (exclude string, ok bool) {
	if l.kind == 'X' && !l.cleans() || strings.Contains(l.marks, "!") {
		return "", false
	}
	if !l.wildcard {
		rest, ok := strings.CutPrefix(l.path, strings.TrimSuffix(dir, "/")+"/")
		return "./" + literal(rest), ok && rest != ""
	}
	steps, above := strings.Split(strings.Trim(l.path, "/"), "/"), strings.Split(strings.Trim(dir, "/"), "/")
	if len(steps) <= len(above) {
		return "", false
	}
	for i, name := range above {
		if match, err := path.Match(strings.ReplaceAll(steps[i], "[!", "[^"), name); err != nil || !match {
			return "", false
		}
	}
	out, ok := glob(strings.Join(steps[len(above):], "/"))
	return "./" + out, ok
}

// readTmpfiles reads the lines that are not comments.
func readTmpfiles(raw []byte) []tmpLine {
	var out []tmpLine
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, len(raw)+1)
	for number := 1; lines.Scan(); number++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		out = append(out, readTmpLine(number, text))
	}
	return out
}

func readTmpLine(number int, text string) tmpLine {
	fields, ok := splitQuoted(text)
	l := tmpLine{number: number, text: text}
	if !ok || len(fields) < 2 || fields[0] == "" {
		l.unknown = "is not a line of tmpfiles.d: type, path, mode, user, group, age, argument"
		return l
	}
	l.kind, l.marks = fields[0][0], fields[0][1:]
	l.wildcard = strings.IndexByte("xXrRewmzZtTaAhH", l.kind) >= 0
	if len(fields) > 5 && fields[5] != "-" {
		l.age = fields[5]
	}
	full, ok := expand(fields[1])
	l.path = full
	switch {
	case !utf8.ValidString(text):
		l.unknown = "is not UTF-8, as a configuration has to be"
	case !ok:
		l.unknown = "has a specifier that depends on the host or the boot: write the path out"
	case !strings.HasPrefix(full, "/"):
		l.unknown = "has a path that is not absolute"
	default:
		l.path = filepath.Clean(full)
	}
	return l
}

// expand replaces the specifiers that are the same on every host, for the manager of the system.
func expand(p string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		if p[i] != '%' {
			b.WriteByte(p[i])
			continue
		}
		i++
		if i == len(p) {
			return p, false
		}
		value, ok := map[byte]string{'%': "%", 't': "/run", 'S': "/var/lib", 'C': "/var/cache", 'L': "/var/log", 'T': "/tmp", 'V': "/var/tmp", 'h': "/root", 'u': "root", 'U': "0", 'g': "root", 'G': "0"}[p[i]]
		if !ok {
			return p, false
		}
		b.WriteString(value)
	}
	return b.String(), true
}
