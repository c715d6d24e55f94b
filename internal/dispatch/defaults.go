package dispatch

import (
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

// PlaybookOnExit is the playbook that runs when the last process of a target has ended.
const PlaybookOnExit = "on_exit"

// defaultPlaybook is a playbook that every target has, without the steps that it has no means for.
type defaultPlaybook struct {
	name    string
	subject Subject
	steps   []string
}

// defaultPlaybooks are sorted by name. Each kind of directory policy has one.
var defaultPlaybooks = func() []defaultPlaybook {
	out := []defaultPlaybook{
		{PlaybookOnExit, subject.Temp, []string{action.NameCleanTemp}},
		{"relieve_heap", subject.Heap, []string{action.NameCaptureEvidence, action.NameCollectGarbage}},
		{"relieve_memory", subject.Memory, []string{action.NameCleanTemp, action.NameEvictCache, action.NameCaptureEvidence, action.NameCollectGarbage}},
	}
	for _, k := range policy.Kinds {
		out = append(out, defaultPlaybook{k.Playbook, Subject(k.Name), []string{k.Action}})
	}
	slices.SortFunc(out, func(a, b defaultPlaybook) int { return strings.Compare(a.name, b.name) })
	return out
}()

// DefaultNames returns the names of the default playbooks, sorted.
func DefaultNames() []string {
	out := make([]string, len(defaultPlaybooks))
	for i := range defaultPlaybooks {
		out[i] = defaultPlaybooks[i].name
	}
	return out
}

func defaultOf(name string) (p defaultPlaybook, ok bool) {
	i := slices.IndexFunc(defaultPlaybooks, func(p defaultPlaybook) bool { return p.name == name })
	if i < 0 {
		return p, false
	}
	return defaultPlaybooks[i], true
}
