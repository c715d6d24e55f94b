package convert

import (
	"fmt"
	"regexp"
	"strings"
)

// The forms in which scripts send a signal: to the process of a file, to those of a name, and to a unit.
var (
	killFile = regexp.MustCompile("\\bkill\\s+-(?:s\\s+)?(?:SIG)?([A-Z]+[12]?|1|10|12)\\s+[\"']?(?:`\\s*(?:/bin/)?cat\\s+([^`\\s]+)[^`]*`|\\$\\(\\s*(?:/bin/)?cat\\s+([^)\\s]+)[^)]*\\)|\\$\\(\\s*<\\s*([^)\\s]+)\\s*\\))")
	killName = regexp.MustCompile(`\b(?:pkill|killall)\s+(?:-[qex]+\s+)*-(?:s\s+)?(?:SIG)?([A-Z]+[12]?|1|10|12)\s+(?:-[qex]+\s+)*([A-Za-z0-9_.-]+)`)
	killUnit = regexp.MustCompile(`\bsystemctl\s+kill\s+(?:-[^\s]+\s+)*?(?:-s\s*|--signal[= ])(?:SIG)?([A-Z]+[12]?|1|10|12)\s+(?:-[^\s]+\s+)*([A-Za-z0-9_.@-]+)`)
)

var numbers = map[string]string{"1": "HUP", "10": "USR1", "12": "USR2"}

// readScript returns the signal that a script sends and the processes that get it, as the value of the key
// processes. ok is false for a script that does anything else.
func readScript(script string) (signal, processes string, ok bool) {
	if script == "" {
		return "", "", false
	}
	name := func(text string) string {
		if long, ok := numbers[text]; ok {
			text = long
		}
		return "SIG" + text
	}
	var found []string
	for line := range strings.SplitSeq(script, "\n") {
		switch m := killFile.FindStringSubmatch(line); {
		case m != nil:
			file := strings.Trim(m[2]+m[3]+m[4], `"'`)
			if !strings.HasPrefix(file, "/") || strings.ContainsAny(file, "$*?") {
				return "", "", false
			}
			found = append(found, name(m[1])+" "+fmt.Sprintf("{match: {pidfile: %s}}", Quote(file)))
		default:
			if m := killUnit.FindStringSubmatch(line); m != nil {
				unit := m[2]
				if !strings.Contains(unit, ".") {
					unit += ".service"
				}
				found = append(found, name(m[1])+" "+fmt.Sprintf("{match: {systemd_unit: %s}}", Quote(unit)))
			} else if m := killName.FindStringSubmatch(line); m != nil && len(m[2]) <= 15 {
				found = append(found, name(m[1])+" "+fmt.Sprintf("{match: {comm: %s}}", Quote(m[2])))
			} else if !idle.MatchString(strings.TrimSpace(line)) {
				return "", "", false
			}
		}
	}
	if len(found) != 1 {
		return "", "", false
	}
	signal, processes, _ = strings.Cut(found[0], " ")
	return signal, processes, true
}

// idle are lines of a script that only look whether there is someone to signal.
var idle = regexp.MustCompile(`^(#.*|fi|then|:|true|exit 0|if (\[|test) -[efrs] .*(\]|;)?\s*(;\s*then)?|(\[|test) -[!efrs] .*\|\| exit 0)?$`)
