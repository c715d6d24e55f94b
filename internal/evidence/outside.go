package evidence

import (
	"fmt"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// How much of what grew outside of a heap is shown.
const (
	foldersShown  = 20
	shapesShown   = 3
	mappingsShown = 5
)

// Outside is what grew of a target outside of its captures, as people are shown it: in few lines, the largest first.
type Outside struct {
	Folders  []GrownFolder `json:"folders,omitempty"`  // in which something grew
	Mappings *Difference   `json:"mappings,omitempty"` // by 1 MiB at least; nil: none has grown so much, or it is not known
}

// GrownFolder is the folder of a policy, and what grew in it.
type GrownFolder struct {
	Kind  string     `json:"kind"`
	Name  string     `json:"name"`
	Grew  Difference `json:"grew"`
	Added *Added     `json:"added,omitempty"` // nil: no shape has most of the new files
}

// NewOutside returns what is to be shown. mappings may be nil.
func NewOutside(folders []Folder, mappings *Mappings) Outside {
	var out Outside
	for i := range folders {
		f := &folders[i]
		if len(f.Grew.Rows) > 0 && len(out.Folders) < foldersShown {
			grew := f.Grew
			grew.Rows = grew.Rows[:min(len(grew.Rows), shapesShown)]
			out.Folders = append(out.Folders, GrownFolder{Kind: f.Kind, Name: f.Name, Grew: grew, Added: f.Added})
		}
	}
	if mappings == nil {
		return out
	}
	d := mappings.Grew
	d.Rows = nil
	for _, g := range mappings.Grew.Rows {
		if g.Bytes >= leastGrowth && len(d.Rows) < mappingsShown {
			d.Rows = append(d.Rows, g)
		}
	}
	if len(d.Rows) > 0 {
		out.Mappings = &d
	}
	return out
}

// Empty reports whether there is nothing to show.
func (o *Outside) Empty() bool { return len(o.Folders) == 0 && o.Mappings == nil }

// String says what most of the new files are: "since 02:10; 88% of the new files are tts-*.wav, empty".
func (f *GrownFolder) String() string {
	text := "since " + moment(f.Grew.From, f.Grew.To)
	if f.Added == nil {
		return text
	}
	text += fmt.Sprintf("; %.0f%% of the new files are %s", 100*f.Added.Share, f.Added.Pattern)
	if f.Added.Empty {
		text += ", empty"
	}
	return text
}

// Size says by how much a shape or a mapping grew: "+41 files, +2MiB".
func (g *Growth) Size(k Kind) string {
	var parts []string
	if k == KindFiles && g.Objects > 0 {
		parts = append(parts, fmt.Sprintf("+%d files", g.Objects))
	}
	if g.Bytes > 0 {
		parts = append(parts, "+"+units.Bytes(g.Bytes).String())
	}
	return strings.Join(parts, ", ")
}

// Weight is what shapes and mappings are ranked by: their files, and as one more each 4 KiB. It is 1 at least.
func (g *Growth) Weight() int64 { return max(max(g.Bytes, 0)/filesUnit+max(g.Objects, 0), 1) }

// moment is a time of day, with the day where it is long ago.
func moment(at, now time.Time) string {
	if now.Sub(at) >= longAgo {
		return at.Format("2006-01-02 15:04")
	}
	return at.Format("15:04")
}

const longAgo = 20 * time.Hour
