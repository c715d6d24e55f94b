package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"
)

// table prints aligned columns.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, columns ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row(columns...)
	return t
}

func (t *table) row(cells ...string) {
	for i, c := range cells {
		if c == "" {
			c = "-"
		}
		cells[i] = strings.Map(printable, c)
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

// printable keeps characters that no one sees away from terminals and from the columns: those that
// control a terminal (of 7 and of 8 bits), end a line or turn the direction of writing.
func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return ' '
	}
	return r
}

func (t *table) flush() {
	t.w.Flush()
}

// skippedText writes counts by reason in a stable order: "in_use 1, too_young 20".
func skippedText(skipped map[string]int64) string {
	parts := make([]string, 0, len(skipped))
	for _, reason := range slices.Sorted(maps.Keys(skipped)) {
		parts = append(parts, fmt.Sprintf("%s %d", reason, skipped[reason]))
	}
	return strings.Join(parts, ", ")
}
