package web

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var readsQuery = regexp.MustCompile(`(?:\bq|\.Query\(\))\.(?:Get|Has)\("([^"]+)"\)`)

// TestOpenAPIQueries: the parameters that the handlers read are those that are documented, and no others.
func TestOpenAPIQueries(t *testing.T) {
	read, documented := map[string]bool{"until": true}, map[string]bool{"v": true} // until is read by a table; v has browsers fetch the files of a new version
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range readsQuery.FindAllSubmatch(text, -1) {
			read[string(m[1])] = true
		}
	}
	for _, e := range endpoints() {
		for _, q := range e.query {
			documented[q[0]] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(read)), slices.Sorted(maps.Keys(documented))); diff != "" {
		t.Errorf("-read +documented:\n%s", diff)
	}
}
