package action

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// everyKindOf returns the folders with one policy of each kind in which every file is due, by the name of the kind.
func everyKindOf(t *testing.T, dir string, change func(*policy.Common)) map[string]*Dirs {
	t.Helper()
	c := common(dir)
	change(&c)
	none := int64(0)
	f := &policy.Folders{
		Caches:   []policy.Cache{{Common: c, MaxAge: units.Duration(time.Hour)}},
		TempDirs: []policy.Temp{{Common: c, MaxAge: units.Duration(time.Hour)}},
		Uploads:  []policy.Upload{{Common: c, MaxAge: units.Duration(time.Hour)}},
		Logs:     []policy.Log{{Common: c, MaxBytes: 1, KeepFiles: &none, Rotate: policy.RotateCopyTruncate}},
	}
	out := make(map[string]*Dirs)
	for _, k := range policy.Kinds {
		out[k.Name] = NewDirs(dirOptions(), k.Name, f)
	}
	return out
}

// took returns the files that a run of a kind takes, those of logs being cut.
func took(t *testing.T, dir, kind string, change func(*policy.Common)) (files []string, skipped map[string]int64) {
	t.Helper()
	for _, dry := range []bool{true, false} {
		var names []string
		res, err := everyKindOf(t, dir, change)[kind].Run(t.Context(), Request{DryRun: dry, OnFile: naming(func(path, why string) {
			if kind != policy.KindLog || why == "rotated" {
				names = append(names, path)
			}
		})})
		if err != nil {
			t.Fatal(err)
		}
		if !dry {
			slices.Sort(names)
			if diff := gocmp.Diff(files, names); diff != "" {
				t.Errorf("%s: the dry run named others (-dry +real):\n%s", kind, diff)
			}
		}
		slices.Sort(names)
		files, skipped = names, res.Skipped
	}
	return files, skipped
}

// TestOwnerOfEveryKind: with owner, files of the folder's owner and of the users in it go, and no others.
func TestOwnerOfEveryKind(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files to others")
	}
	const service, listed, other = 65534, 65533, 65532
	for _, k := range policy.Kinds {
		t.Run(k.Name, func(t *testing.T) {
			dir := realDir(t)
			for name, uid := range map[string]int{"service": service, "listed": listed, "other": other, "root": 0} {
				put(t, dir+"/"+name, 8192, 2*time.Hour)
				if err := os.Chown(dir+"/"+name, uid, uid); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chown(dir, service, service); err != nil {
				t.Fatal(err)
			}
			got, skipped := took(t, dir, k.Name, func(c *policy.Common) { c.Owner = []string{"65533"} })
			if diff := gocmp.Diff([]string{"listed", "service"}, got); diff != "" || skipped["owner"] != 2 {
				t.Errorf("skipped %v (-want +got):\n%s", skipped, diff)
			}
		})
	}
}

// TestExcludeOfEveryKind: what is excluded by its path stays, and so does what begins with a dot or keeps books.
func TestExcludeOfEveryKind(t *testing.T) {
	for _, k := range policy.Kinds {
		t.Run(k.Name, func(t *testing.T) {
			dir := realDir(t)
			for name := range strings.FieldsSeq("a sub/a sub/b models/a deep/models/a lock .hidden media-index.json sub/x-index.json") {
				put(t, dir+"/"+name, 8192, 2*time.Hour)
			}
			got, skipped := took(t, dir, k.Name, func(c *policy.Common) { c.Exclude = []string{"models/", "sub/b"} })
			if diff := gocmp.Diff([]string{"a", "sub/a", "sub/x-index.json"}, got); diff != "" || skipped["kept"] != 4 {
				t.Errorf("skipped %v, want 4 kept (-want +got):\n%s", skipped, diff)
			}
		})
	}
}

// TestRotatedLogOfAnExcludedOne: what was rotated stays where its log is excluded.
func TestRotatedLogOfAnExcludedOne(t *testing.T) {
	dir := realDir(t)
	at := time.Now().Add(-time.Hour)
	rotated := policy.RotatedName("old.log", at, 1, false)
	put(t, dir+"/sub/"+rotated, 10, 2*time.Hour)
	put(t, dir+"/"+rotated, 10, 2*time.Hour)
	none := int64(0)
	c := common(dir)
	c.Exclude = []string{"sub/old.log"}
	res, err := newRotateLogs(dirOptions(), []policy.Log{{Common: c, MaxBytes: 1 << 20, KeepFiles: &none}}).Run(t.Context(), Request{})
	if diff := gocmp.Diff([]string{"sub/" + rotated}, left(t, dir)); err != nil || diff != "" || res.Files != 1 {
		t.Errorf("%+v, %v\n%s", res, err, diff)
	}
}
