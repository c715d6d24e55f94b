package cli

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// indexWatch collects the files of a plan that look like an index or a database: without them what a clean-up
// leaves may be worth nothing.
type indexWatch struct{ found map[string]*indexes }

// indexes are those of one policy.
type indexes struct {
	files int
	first []string
}

const firstIndexes = 3 // are named

func newIndexWatch() *indexWatch { return &indexWatch{found: make(map[string]*indexes)} }

// file is what the run calls for each file that would go.
func (w *indexWatch) file(p action.PolicyResult, path []byte, _ string) {
	if p.Kind == policy.KindLog || !policy.LooksLikeIndex(path[bytes.LastIndexByte(path, '/')+1:]) {
		return
	}
	of := w.found[p.Policy]
	if of == nil {
		of = &indexes{}
		w.found[p.Policy] = of
	}
	if of.files++; len(of.first) < firstIndexes {
		of.first = append(of.first, quoteName(string(path)))
	}
}

// warnings returns one for each policy that has such files.
func (w *indexWatch) warnings(target string, policies []action.PolicyResult) []string {
	var out []string
	for i := range policies {
		p := &policies[i]
		of := w.found[p.Policy]
		if of == nil {
			continue
		}
		names := strings.Join(of.first, ", ")
		if more := of.files - len(of.first); more > 0 {
			names += fmt.Sprintf(" and %d more", more)
		}
		out = append(out, fmt.Sprintf("%s: %s %s would take what looks like an index or a database: %s; if the service needs it, write the name under keep, or its folder under exclude",
			target, p.Kind, p.Policy, names))
	}
	return out
}
