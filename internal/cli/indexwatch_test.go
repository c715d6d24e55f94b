package cli

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCheckWarnsOfIndexes: what keeps the books of a cache stays, and what looks like a database is warned of.
func TestCheckWarnsOfIndexes(t *testing.T) {
	dir := realDir(t)
	for _, name := range []string{
		"CACHEDIR.TAG", ".gitkeep", ".hidden", "lock", ".cache-index.json", "media-index.json", "a.mp4", "db/CURRENT", "db/MANIFEST-01", "db/1.ldb", "db/2.ldb", "keep/b",
	} {
		oldFile(t, filepath.Join(dir, name))
	}
	const policy = "targets: [{name: app, caches: [{name: media, dir: DIR, include: ['*'], exclude: [keep/], max_age: 1h, age_by: mtime}]}]"
	config := configFlag(t, strings.ReplaceAll(policy, "DIR", dir))
	r := runLine(t, "check", config)
	for _, want := range []string{
		"warning: app: cache media would take what looks like an index or a database: db/", " and 1 more; if the service needs it, write the name under keep, or its folder under exclude\n",
		"would remove 5 of 5 files", "; left alone: kept 6; kept unless include names them: ",
	} {
		if r.code != ExitOK || !strings.Contains(r.out, want) {
			t.Errorf("%+v, want %q", r, want)
		}
	}
	r = runLine(t, "cleanup", "--dry-run", "--json", config)
	var got struct {
		Files   int64            `json:"files"`
		Skipped map[string]int64 `json:"skipped"`
		Names   []string         `json:"kept_names"`
	}
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || len(got.Names) != 5 {
		t.Errorf("%v: %+v", err, r)
	}
	if diff := cmp.Diff(map[string]int64{"kept": 6}, got.Skipped); diff != "" || got.Files != 5 {
		t.Errorf("%d files:\n%s", got.Files, diff)
	}
	r = runLine(t, "check", configFlag(t, strings.NewReplacer("DIR", dir, "'*'", "'*.mp4'").Replace(policy)))
	if strings.Contains(r.out, "warning: app") || strings.Contains(r.out, "kept") {
		t.Errorf("nothing of the kind would go: %+v", r)
	}
}
