package convert

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// section is the logs of one block of logrotate.conf, with the directives that hold for them.
type section struct {
	file  string
	line  int
	paths []string
	set   settings
}

// settings are directives. Those of the file hold for the sections that come after them.
type settings struct {
	every        string // hourly, daily, weekly, monthly, yearly; "" = by size
	size         string // of criterion size
	minSize, max string
	rotate       int
	maxAge       int
	compress     bool
	copies       bool // copytruncate
	dateExt      bool
	ownDates     bool // they have another form than the default
	oldDir       string
	create       string
	su           string
	scripts      []string // names of those that have no counterpart
	after        string   // the text of postrotate
	said         []string // other directives, which have no counterpart
	err          error
}

// lrReader reads files of logrotate.
type lrReader struct {
	sections []section
	globals  settings
	depth    int
	read     func(name string) ([]byte, error)
	list     func(dir string) ([]string, error)
	notes    []string
}

const mostIncludes = 10 // nested

// readLogrotate reads a file and those that it includes.
func readLogrotate(file string, raw []byte) (*lrReader, error) {
	r := &lrReader{read: os.ReadFile, list: listFiles, globals: settings{size: "1M"}}
	return r, r.parse(file, string(raw))
}

func listFiles(dir string) ([]string, error) {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return []string{dir}, err
	}
	entries, err := os.ReadDir(dir)
	var out []string
	for _, e := range entries {
		if !e.IsDir() && !taboo(e.Name()) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, err
}

// taboo reports whether logrotate passes over a file in an included folder.
func taboo(name string) bool {
	ends := []string{",v", ".bak", ".cfsaved", ".disabled", ".dpkg-bak", ".dpkg-del", ".dpkg-dist", ".dpkg-new", ".dpkg-old", ".dpkg-tmp", ".rhn-cfg-tmp-", ".rpmnew", ".rpmorig", ".rpmsave", ".swp", ".ucf-dist", ".ucf-new", ".ucf-old", "~"}
	return strings.HasPrefix(name, ".") || slices.ContainsFunc(ends, func(end string) bool { return strings.HasSuffix(name, end) })
}

// parse reads one file.
func (r *lrReader) parse(file, text string) error {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	var open *section
	var head []string // paths of a section whose { has not come
	for i := 0; i < len(lines); i++ {
		fields, ok := splitQuoted(uncomment(lines[i]))
		if !ok {
			return fmt.Errorf("%s:%d: a quote is not closed", file, i+1)
		}
		if len(fields) == 0 {
			continue
		}
		if script := scriptOf(fields[0]); script != "" && (open != nil || len(fields) == 1) {
			body, end := untilEnd(lines, i+1)
			if end < 0 {
				return fmt.Errorf("%s:%d: %s without endscript", file, i+1, script)
			}
			i = end
			r.current(open).script(script, body)
			continue
		}
		switch {
		case open == nil && (opens(fields) || len(head) > 0 || isPath(fields[0])):
			paths, opened, rest := head2(fields)
			head = append(head, paths...)
			if !opened {
				continue
			}
			open, head = &section{file: file, line: i + 1, paths: head, set: r.globals.clone()}, nil
			closed := len(rest) > 0 && rest[len(rest)-1] == "}"
			if closed {
				rest = rest[:len(rest)-1]
			}
			if len(rest) > 0 {
				open.set.directive(rest)
			}
			if open.set.err != nil {
				return fmt.Errorf("%s:%d: %w", file, i+1, open.set.err)
			}
			if closed {
				r.sections, open = append(r.sections, *open), nil
			}
		case open != nil && fields[0] == "}":
			r.sections, open = append(r.sections, *open), nil
		case open == nil && fields[0] == "include" && len(fields) == 2:
			if err := r.include(fields[1]); err != nil {
				return fmt.Errorf("%s:%d: %w", file, i+1, err)
			}
		default:
			s := r.current(open)
			if s.directive(fields); s.err != nil {
				return fmt.Errorf("%s:%d: %w", file, i+1, s.err)
			}
		}
	}
	if open != nil || len(head) > 0 {
		return fmt.Errorf("%s: a section is not closed with }", file)
	}
	return nil
}

func (r *lrReader) current(open *section) *settings {
	if open != nil {
		return &open.set
	}
	return &r.globals
}

// include reads a file, or the files of a folder.
func (r *lrReader) include(name string) error {
	if r.depth++; r.depth > mostIncludes {
		return errors.New("includes are nested too deeply")
	}
	defer func() { r.depth-- }()
	files, err := r.list(name)
	if err != nil {
		r.notes = append(r.notes, fmt.Sprintf("include %s: %v", name, err))
		return nil
	}
	for _, file := range files {
		raw, err := r.read(file)
		if err != nil {
			r.notes = append(r.notes, fmt.Sprintf("include %s: %v", file, err))
			continue
		}
		if err := r.parse(file, string(raw)); err != nil {
			return err
		}
	}
	return nil
}

func (s *settings) clone() settings {
	out := *s
	out.scripts, out.said = slices.Clone(s.scripts), slices.Clone(s.said)
	return out
}

func uncomment(line string) string {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "#") {
		return ""
	}
	if i := strings.Index(line, " #"); i >= 0 {
		line = line[:i]
	}
	return strings.ReplaceAll(strings.ReplaceAll(line, "{", " { "), "}", " } ")
}

func isPath(word string) bool { return strings.HasPrefix(word, "/") || strings.HasPrefix(word, "~/") }

func opens(fields []string) bool { return slices.Contains(fields, "{") }

// head2 takes apart the beginning of a section: its paths, whether it is opened, and what comes behind the {.
func head2(fields []string) (paths []string, opened bool, rest []string) {
	i := slices.Index(fields, "{")
	if i < 0 {
		return fields, false, nil
	}
	return fields[:i], true, fields[i+1:]
}

func scriptOf(word string) string {
	if slices.Contains([]string{"postrotate", "prerotate", "firstaction", "lastaction", "preremove"}, word) {
		return word
	}
	return ""
}

// untilEnd returns the lines of a script, and where its endscript is, -1 for nowhere.
func untilEnd(lines []string, from int) (body string, end int) {
	for i := from; i < len(lines); i++ {
		if strings.TrimSpace(lines[i]) == "endscript" {
			return strings.TrimSpace(strings.Join(lines[from:i], "\n")), i
		}
	}
	return "", -1
}

func (s *settings) script(name, body string) {
	if name == "postrotate" {
		s.after = body
		return
	}
	s.scripts = append(s.scripts, name)
}

// harmless are directives that say what is done here anyway, or what does not matter here.
var harmless = []string{
	"missingok", "nomissingok", "notifempty", "ifempty", "sharedscripts", "nosharedscripts", "nocreate", "nodelaycompress", "nocopy",
	"nomail", "nocopytruncate", "noshred", "nocompress", "compressoptions", "createolddir", "nocreateolddir",
	"tabooext", "taboopat", "allowhardlink", "noallowhardlink", "ignoreduplicates", "norenamecopy", "maillast", "mailfirst",
}

// number reads the value of a directive.
func number(name, value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil {
		return 0, fmt.Errorf("%s: %q is not a number: write one such as %s 7", name, value, name)
	}
	return n, nil
}

// directive reads a line of a section or of the file.
func (s *settings) directive(fields []string) {
	name, value := strings.TrimSuffix(fields[0], "="), ""
	if len(fields) > 1 {
		value = strings.TrimPrefix(fields[len(fields)-1], "=")
	}
	if key, after, ok := strings.Cut(fields[0], "="); ok && after != "" {
		name, value = key, after
	}
	switch name {
	case "hourly", "daily", "weekly", "monthly", "yearly":
		s.every, s.size = name, ""
	case "size":
		s.every, s.size = "", value
	case "minsize":
		s.minSize = value
	case "maxsize":
		s.max = value
	case "rotate":
		s.rotate, s.err = number(name, value)
	case "maxage":
		s.maxAge, s.err = number(name, value)
	case "compress":
		s.compress = true
	case "nocompress":
		s.compress = false
	case "dateext":
		s.dateExt = true
	case "nodateext":
		s.dateExt = false
	case "dateformat", "dateyesterday", "datehourago", "extension":
		s.ownDates = true
	case "olddir":
		s.oldDir = value
	case "noolddir":
		s.oldDir = ""
	case "copytruncate":
		s.copies = true
	case "nocopytruncate":
		s.copies = false
	case "create":
		s.create = strings.Join(fields[1:], " ")
	case "nocreate":
		s.create = ""
	case "su":
		s.su = strings.Join(fields[1:], " ")
	default:
		if !slices.Contains(harmless, name) {
			s.said = append(s.said, strings.Join(fields, " "))
		}
	}
}
