package hostcheck

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/needs"
)

const (
	// manageUnits is what systemd asks polkit for before it starts, stops or restarts a unit for a user.
	manageUnits = "org.freedesktop.systemd1.manage-units"
	rulesFile   = "/etc/polkit-1/rules.d/50-spillway.rules"
	shippedRule = "/usr/share/doc/spillway-exporter/50-spillway.rules"
	mostRules   = 1 << 20 // bytes of a file of rules
)

// rulesDirs is where polkit reads rules (polkit(8)).
var rulesDirs = []string{"/etc/polkit-1/rules.d", "/run/polkit-1/rules.d", "/usr/local/share/polkit-1/rules.d", "/usr/share/polkit-1/rules.d"}

// verbs are the commands of systemctl that systemd asks polkit about by this action.
var verbs = []string{"start", "stop", "restart", "try-restart", "reload", "reload-or-restart", "try-reload-or-restart", "kill", "reset-failed"}

// unitSuffixes are the kinds of units; a name without one is a service.
var unitSuffixes = []string{".service", ".socket", ".timer", ".target", ".path", ".mount", ".automount", ".slice", ".scope", ".swap", ".device"}

// systemctl returns what a command asks of the system's systemd for which units; none for another command.
func systemctl(argv []string) (verb string, units []string) {
	if filepath.Base(argv[0]) != "systemctl" || slices.Contains(argv, "--user") {
		return "", nil
	}
	for _, word := range argv[1:] {
		switch {
		case strings.HasPrefix(word, "-"):
		case verb == "":
			verb = word
		default:
			if !slices.Contains(unitSuffixes, filepath.Ext(word)) {
				word += ".service"
			}
			units = append(units, word)
		}
	}
	if !slices.Contains(verbs, verb) {
		return "", nil
	}
	return verb, units
}

// polkit adds the units that no rule lets this user control. Polkit itself cannot be asked: it says
// only root what it would say about one unit.
func (l *look) polkit(target, of, verb string, units []string) {
	if l.self.uid == 0 {
		return
	}
	f := Finding{Target: target, Of: of, Feature: needs.Restart}
	rules, err := readRules(rulesDirs)
	if err != nil {
		f.Problem = fmt.Sprintf("whether polkit lets %s %s %s is not known: %v", l.self.user, verb, strings.Join(units, " "), err)
		f.Unknown, f.Unit = true, capabilityLines(l.lacks(needs.Folders))
		l.add(f)
		return
	}
	for _, unit := range units {
		if slices.ContainsFunc(rules, func(rule string) bool { return allows(rule, l.self.user, verb, unit) }) {
			continue
		}
		f.Problem = fmt.Sprintf("no polkit rule lets %s %s %s", l.self.user, verb, unit)
		f.Do = fmt.Sprintf("add %q to units in %s (a copy of %s)", unit, rulesFile, shippedRule)
		if verb != "restart" {
			f.Do += fmt.Sprintf(", and let it allow the verb %q", verb)
		}
		l.add(f)
	}
}

// readRules returns the rules that polkit reads, without their comments.
func readRules(dirs []string) ([]string, error) {
	var out []string
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if filepath.Ext(e.Name()) != ".rules" {
				continue
			}
			path := filepath.Join(dir, e.Name())
			if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > mostRules {
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			out = append(out, withoutComments(string(text)))
		}
	}
	return out, nil
}

var comments = regexp.MustCompile(`(?s:/\*.*?\*/)|(?m:(^|\s)//.*$)`)

func withoutComments(rule string) string { return comments.ReplaceAllString(rule, "$1") }

// allows reports whether a file of rules looks as if it let a user control a unit: it names the action,
// and the user, the verb and the unit where it asks for them. What it computes is not followed.
func allows(rule, user, verb, unit string) bool {
	if !strings.Contains(rule, manageUnits) || !strings.Contains(rule, "YES") {
		return false
	}
	names := func(word string) bool {
		return strings.Contains(rule, `"`+word+`"`) || strings.Contains(rule, "'"+word+"'")
	}
	asks := func(key string) bool {
		return strings.Contains(rule, `lookup("`+key+`")`) || strings.Contains(rule, `lookup('`+key+`')`)
	}
	switch {
	case asks("unit") && !names(unit), asks("verb") && !names(verb):
		return false
	case strings.Contains(rule, "subject.user"):
		return names(user)
	}
	return true // by a group, or for everyone
}
