package action

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// TestChoice: what a dry run has named for a proposal is all that a run of the proposal removes: not what came since, though it
// is due, and not what has changed since.
func TestChoice(t *testing.T) {
	old := units.Duration(24 * time.Hour)
	for kind, make := range map[string]func(dir string, o DirOptions) Action{
		"temp": func(dir string, o DirOptions) Action {
			return newCleanTemp(o, []policy.Temp{{Common: common(dir), MaxAge: old}})
		},
		"cache": func(dir string, o DirOptions) Action {
			return newEvictCache(o, []policy.Cache{{Common: common(dir), MaxEntries: 1}})
		},
		"uploads": func(dir string, o DirOptions) Action {
			return newEnforceUploads(o, []policy.Upload{{Common: common(dir), MaxAge: old}})
		},
	} {
		t.Run(kind, func(t *testing.T) {
			dir := realDir(t)
			for i := range 4 {
				put(t, fmt.Sprintf("%s/%d", dir, i), 100, time.Duration(48+i)*time.Hour)
			}
			open := NewChoice()
			make := func(o DirOptions) Action { return make(dir, o) }
			proposed, _ := named(t, true, Request{Choice: open}, make)
			if len(proposed) < 3 {
				t.Fatalf("proposed are %q", proposed)
			}
			put(t, dir+"/3", 7, 60*time.Hour) // another one under the same name
			for i := range 3 {
				put(t, fmt.Sprintf("%s/new%d", dir, i), 100, 90*time.Hour)
			}
			fixed, err := ParseChoice(open.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			would, res := named(t, true, Request{Choice: fixed}, make)
			got, res2 := named(t, false, Request{Choice: fixed}, make)
			for _, name := range append(slices.Clone(got), would...) {
				if !slices.Contains(proposed, name) || strings.HasSuffix(name, " 3") {
					t.Errorf("%q goes, proposed were %q", name, proposed)
				}
			}
			if len(got) < 2 || len(would) != len(got) || res.Skipped[string(reasonNotProposed)] == 0 || res2.Skipped[string(reasonNotProposed)] == 0 {
				t.Errorf("%q went, and %q in a dry run: %v, %v", got, would, res.Skipped, res2.Skipped)
			}
			for _, name := range []string{"3", "new0", "new1", "new2"} {
				if _, err := os.Stat(dir + "/" + name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if _, err := ParseChoice([]byte("1234567")); err == nil {
		t.Error("a broken choice is taken")
	}
	full := NewChoice()
	for i := range uint64(maxChosen) {
		full.note(i)
	}
	if full.holds(maxChosen-1) || !full.holds(maxChosen) {
		t.Error("a choice has no bound")
	}
}
