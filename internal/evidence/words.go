package evidence

import (
	"fmt"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Place returns where a row is: "rememberSession server.js:42"; of a class its name alone. Of the path of a Go package only the
// last part is left: the file says the rest.
func Place(name, file string, line int) string {
	if file == "" {
		return name
	}
	bare, _, _ := strings.Cut(name, "[") // the arguments of a generic function have paths too
	name = name[strings.LastIndex(bare, "/")+1:]
	if line > 0 {
		return fmt.Sprintf("%s %s:%d", name, file, line)
	}
	return name + " " + file
}

// String returns what grew for people: "+180.0MiB since 02:10: rememberSession server.js:42, 71% of the growth"; "" where
// nothing did.
func (d *Difference) String() string {
	grown := d.After - d.Before
	if len(d.Rows) == 0 || grown <= 0 {
		return ""
	}
	g := &d.Rows[0]
	text := fmt.Sprintf("+%s since %s: ", units.Bytes(grown), moment(d.From, d.To))
	switch {
	case !g.Sure:
		return text + "no row grew by more than the error of the measurement"
	case d.Kind.Counted() && g.Objects > 0:
		text += fmt.Sprintf("%s, +%d instances", Place(g.Name, g.File, g.Line), g.Objects)
	default:
		text += fmt.Sprintf("%s, %.0f%% of the growth", Place(g.Name, g.File, g.Line), 100*g.Share)
	}
	if d.Culprit == nil {
		return text + " (" + strings.TrimSuffix(d.Why, ".") + ")"
	}
	return text
}
