package web

import (
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/health"
)

// advice is a recommendation with the command that helps to follow it. The command changes nothing by itself.
type advice struct {
	health.Recommendation

	Command string // "" where nothing is to be done
}

// usualConfig is the file that commands read where no other is named.
const usualConfig = "/etc/spillway/spillway.yml"

// commands are what to run, by how a recommendation begins. What none of them begins is followed by reading the
// journal.
var commands = []struct {
	begins, command string
	policy          bool // the command takes the folder that the recommendation names
}{
	{"Remove ", "cleanup --dry-run --files", true},
	{"Evict ", "cleanup --dry-run --files", true},
	{"Rotate ", "cleanup --dry-run --files", true},
	{"Memory ", "evidence TARGET", false},
	{"The folder of ", "check", false},
	{"The source ", "check", false},
	{"The level of ", "check", false},
	{"No process of ", "check", false},
	{"Nothing new ", "check", false},
}

// newAdvice returns the recommendations for a target with their commands.
func newAdvice(t *health.Target, config string) []advice {
	out := make([]advice, 0, len(t.Recommendations))
	for _, r := range t.Recommendations {
		out = append(out, advice{r, commandFor(t, r.Action, config)})
	}
	return out
}

func commandFor(t *health.Target, action, config string) string {
	if strings.HasPrefix(action, "System operating") {
		return ""
	}
	if strings.HasPrefix(action, "The ") && strings.Contains(action, " heap is ") {
		return command("evidence "+quoted(t.Name), config)
	}
	for _, c := range commands {
		if !strings.HasPrefix(action, c.begins) {
			continue
		}
		text := strings.ReplaceAll(c.command, "TARGET", quoted(t.Name))
		if c.policy {
			text += " --target " + quoted(t.Name)
			if name := folderIn(t, action); name != "" {
				text += " --policy " + quoted(name)
			}
		}
		return command(text, config)
	}
	return command("journal --since 24h --target "+quoted(t.Name), config)
}

// command is what to write to run a command of the exporter with its configuration.
func command(text, config string) string {
	if config != "" && config != usualConfig {
		text += " --config.file " + quoted(config)
	}
	return "spillway_exporter " + text
}

// folderIn returns the folder of a target that a recommendation names, the longest name of several.
func folderIn(t *health.Target, action string) (name string) {
	for _, f := range folderNames(t) {
		for _, before := range []string{" in ", " of "} {
			_, after, ok := strings.Cut(action, before+f)
			if ok && len(f) > len(name) && (after == "" || strings.ContainsAny(after[:1], " :,;")) {
				name = f
			}
		}
	}
	return name
}

func folderNames(t *health.Target) []string {
	var out []string
	for i := range t.Caches {
		out = append(out, t.Caches[i].Name)
	}
	for i := range t.Temps {
		out = append(out, t.Temps[i].Name)
	}
	for i := range t.Folders {
		out = append(out, t.Folders[i].Name)
	}
	return out
}

// quoted writes a word for a shell.
func quoted(s string) string {
	if s != "" && strings.IndexFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_./:@+", c)
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
