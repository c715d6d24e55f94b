package collector

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// agedFolders sets the mtime of all folders below the root to long ago.
func (b *dirBench) agedFolders() {
	b.t.Helper()
	err := filepath.WalkDir(b.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != b.dir {
			at := b.now.Add(-10_000 * time.Hour)
			err = os.Chtimes(path, at, at)
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// sampled samples twice, since links of the first scan are known in another way, and compares.
func (b *dirBench) sampled(src *DirSource, want string) {
	b.t.Helper()
	for range 2 {
		if err := b.sample(b.t.Context(), src); err != nil {
			b.t.Fatal(err)
		}
		if got := b.published(); got != want {
			b.t.Errorf("published\n%s, want\n%s", got, want)
		}
	}
}

// TestDirectoriesAreCounted: counts, sizes, ages and what is due are of directories.
func TestDirectoriesAreCounted(t *testing.T) {
	b := newDirBench(t)
	for i := range 4 {
		b.file(fmt.Sprintf("job%d/in/a", i), 1000, time.Duration(10*i+1)*time.Hour)
		b.file(fmt.Sprintf("job%d/b", i), 500, 100*time.Hour)
	}
	b.file("kept.json/a", 1, 100*time.Hour)
	b.file("loose", 7000, 100*time.Hour)
	if err := os.Mkdir(b.dir+"/empty", 0o755); err != nil {
		t.Fatal(err)
	}
	b.agedFolders()
	if err := os.Symlink("job3", b.dir+"/current"); err != nil {
		t.Fatal(err)
	}
	p := policy.Temp{Common: b.common(), MaxAge: units.Duration(5 * time.Hour), MaxFiles: 3}
	p.Entry, p.Depth, p.LinksInto, p.Include, p.Keep = policy.EntryDir, 1, policy.LinksIntoKeep, []string{"*"}, []string{"kept*"}
	src, err := newTemp("svc", p)
	if err != nil {
		t.Fatal(err)
	}
	// job1, job2 and the empty one are due; job0 is young, and job3 has a link.
	b.sampled(src, fmt.Sprintf("temp_directories 10, temp_empty_files 1, temp_expired_files 3, temp_files 5, temp_max_files 3, temp_oldest_file_timestamp_seconds %v, temp_size_bytes 6000, temp_used_ratio %v",
		float64(b.now.Add(-10_000*time.Hour).Unix()), 5.0/3))
	p.KeepNewest = 2 // job0 and job1
	if src, err = newTemp("svc", p); err != nil {
		t.Fatal(err)
	}
	b.sampled(src, fmt.Sprintf("temp_directories 10, temp_empty_files 1, temp_expired_files 2, temp_files 5, temp_max_files 3, temp_oldest_file_timestamp_seconds %v, temp_size_bytes 6000, temp_used_ratio %v",
		float64(b.now.Add(-10_000*time.Hour).Unix()), 5.0/3))
}

// TestGroupsAreCounted: so are those of files that belong together.
func TestGroupsAreCounted(t *testing.T) {
	b := newDirBench(t)
	for i := range 3 {
		for _, ext := range []string{"mp4", "json", "jpg"} {
			b.file(fmt.Sprintf("%d/video%d.%s", i%2, i, ext), 1000, time.Duration(10*i+1)*time.Hour)
		}
		b.file(fmt.Sprintf("%d/video%d.json", i%2, i), 1000, 100*time.Hour)
	}
	p := policy.Cache{Common: b.common(), MaxEntries: 2, MaxAge: units.Duration(15 * time.Hour)}
	p.Group, p.Include, p.SizeBy = policy.GroupStem, []string{"*"}, policy.SizeApparent
	src, err := newCache("svc", p, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.sampled(src, fmt.Sprintf("cache_disk_bytes 36864, cache_entries 3, cache_expired_entries 1, cache_max_age_seconds 54000, cache_max_entries 2, cache_oldest_entry_timestamp_seconds %v, cache_size_bytes 9000, cache_used_ratio 1.5",
		float64(b.now.Add(-21*time.Hour).Unix())))
}
