package collector

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// dirBench is a folder and the store that a source of it is sampled into.
type dirBench struct {
	t     *testing.T
	dir   string
	now   time.Time
	store *series.Store
	batch series.Batch
}

func newDirBench(t *testing.T) *dirBench {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &dirBench{t: t, dir: dir + "/watched", now: time.Unix(1_800_000_000, 0), store: series.NewStore(series.Options{})}
}

// file writes a file of that age by mtime and returns how much of the disk it takes.
func (b *dirBench) file(name string, size int, age time.Duration) (diskBytes int64) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("x", size)), 0o644); err != nil {
		b.t.Fatal(err)
	}
	at := b.now.Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		b.t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

// common measures ages by mtime, which a test can set.
func (b *dirBench) common() policy.Common {
	return policy.Common{Name: "media", Dir: b.dir, Include: []string{"*.json"}, Keep: []string{"index.json"}, AgeBy: policy.AgeMtime}
}

// sample samples once and publishes.
func (b *dirBench) sample(ctx context.Context, s Source) error {
	b.t.Helper()
	b.batch.Reset(b.now)
	err := s.Sample(ctx, &b.batch)
	b.store.Commit(&b.batch)
	return err
}

// published returns the names and values that are there, sorted, without labels.
func (b *dirBench) published() string {
	var lines []string
	for _, s := range b.store.Snapshot(nil) {
		lines = append(lines, fmt.Sprintf("%s %v", strings.TrimPrefix(s.Desc.Name, "spillway_"), s.Value))
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}

// compare checks the whole exposition of the families that begin with prefix, and lints it.
func (b *dirBench) compare(prefix, want string) {
	b.t.Helper()
	var families []string
	for _, d := range metric.Descs() {
		if strings.HasPrefix(d.Name, prefix) {
			families = append(families, d.Name)
		}
	}
	e := NewExporter(b.store)
	if err := testutil.CollectAndCompare(e, strings.NewReader(want), families...); err != nil {
		b.t.Error(err)
	}
	problems, err := testutil.CollectAndLint(e, families...)
	if err != nil || len(problems) > 0 {
		b.t.Errorf("lint: %v, %v", problems, err)
	}
}

func TestCacheSource(t *testing.T) {
	b := newDirBench(t)
	disk := b.file("a.json", 100, time.Hour) + b.file("sub/b.json", 5000, 72*time.Hour) + b.file("c.json", 0, 47*time.Hour)
	b.file("index.json", 9000, 500*time.Hour)
	b.file("other.txt", 9000, 500*time.Hour)
	b.file(policy.HoldingName+"/q.json", 9000, 500*time.Hour)
	b.file(policy.HoldingName+"/"+policy.HoldingMarker, 0, 0)
	if err := os.Chmod(filepath.Join(b.dir, policy.HoldingName), 0o700); err != nil {
		t.Fatal(err)
	}
	src, err := newCache("svc", policy.Cache{
		Common: b.common(), MaxEntries: 4, MaxBytes: units.Bytes(2 * disk), MaxAge: units.Duration(48 * time.Hour),
	}, nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second sample adds nothing up
		if err := b.sample(t.Context(), src); err != nil {
			t.Fatal(err)
		}
	}
	b.compare("spillway_cache_", fmt.Sprintf(`
# HELP spillway_cache_disk_bytes Disk space used by the cache's files.
# TYPE spillway_cache_disk_bytes gauge
spillway_cache_disk_bytes{cache="media",target="svc"} %d
# HELP spillway_cache_entries Entries of the cache: files, unless the policy says otherwise.
# TYPE spillway_cache_entries gauge
spillway_cache_entries{cache="media",target="svc"} 3
# HELP spillway_cache_expired_entries Entries older than the configured maximum age, which a cleanup would remove now.
# TYPE spillway_cache_expired_entries gauge
spillway_cache_expired_entries{cache="media",target="svc"} 1
# HELP spillway_cache_max_age_seconds Configured maximum age of an entry.
# TYPE spillway_cache_max_age_seconds gauge
spillway_cache_max_age_seconds{cache="media",target="svc"} 172800
# HELP spillway_cache_max_entries Configured maximum number of entries.
# TYPE spillway_cache_max_entries gauge
spillway_cache_max_entries{cache="media",target="svc"} 4
# HELP spillway_cache_max_size_bytes Configured maximum size.
# TYPE spillway_cache_max_size_bytes gauge
spillway_cache_max_size_bytes{cache="media",target="svc"} %d
# HELP spillway_cache_oldest_entry_timestamp_seconds Unix time from which the oldest entry's age is measured.
# TYPE spillway_cache_oldest_entry_timestamp_seconds gauge
spillway_cache_oldest_entry_timestamp_seconds{cache="media",target="svc"} 1.7997408e+09
# HELP spillway_cache_size_bytes Total apparent size of the cache's files.
# TYPE spillway_cache_size_bytes gauge
spillway_cache_size_bytes{cache="media",target="svc"} 5100
# HELP spillway_cache_used_ratio Highest usage among the cache's limits, as a ratio.
# TYPE spillway_cache_used_ratio gauge
spillway_cache_used_ratio{cache="media",target="svc"} 0.75
`, disk, 2*disk))
	for _, d := range []*series.Desc{metric.CacheEntries, metric.CacheSize, metric.CacheUsedRatio} {
		if n := len(b.store.Points(nil, series.Tier(0), d, "svc", "media")); n != 2 {
			t.Errorf("%s keeps %d points, want 2", d.Name, n)
		}
	}
}

// Limits that are not set are absent, and so is what has no meaning without them.
func TestDirSourcesWithoutLimits(t *testing.T) {
	f := func(make func(c policy.Common) (Source, error), want string) {
		t.Helper()
		b := newDirBench(t)
		b.file("a.json", 5, 72*time.Hour)
		c := b.common()
		c.SizeBy = policy.SizeApparent
		src, err := make(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.sample(t.Context(), src); err != nil {
			t.Fatal(err)
		}
		got := strings.Split(b.published(), ", ")
		got = slices.DeleteFunc(got, func(line string) bool { // there in every case
			name, _, _ := strings.Cut(line, " ")
			return slices.Contains([]string{
				"cache_disk_bytes", "cache_entries", "cache_size_bytes", "cache_oldest_entry_timestamp_seconds",
				"temp_directories", "temp_files", "temp_empty_files", "temp_size_bytes", "temp_oldest_file_timestamp_seconds",
			}, name)
		})
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("published %q, want %q", s, want)
		}
	}
	cache := func(p policy.Cache) func(policy.Common) (Source, error) {
		return func(c policy.Common) (Source, error) { p.Common = c; return newCache("svc", p, nil, 100) }
	}
	temp := func(p policy.Temp) func(policy.Common) (Source, error) {
		return func(c policy.Common) (Source, error) { p.Common = c; return newTemp("svc", p) }
	}
	f(cache(policy.Cache{MaxAge: units.Duration(time.Hour)}), "cache_expired_entries 1, cache_max_age_seconds 3600")
	f(cache(policy.Cache{MaxEntries: 2}), "cache_max_entries 2, cache_used_ratio 0.5")
	f(cache(policy.Cache{MaxBytes: 20}), "cache_max_size_bytes 20, cache_used_ratio 0.25")
	f(temp(policy.Temp{MaxFiles: 3}), "temp_max_files 3, temp_used_ratio 0.3333333333333333")
	f(temp(policy.Temp{MaxBytes: 20}), "temp_max_size_bytes 20, temp_used_ratio 0.25")
	f(temp(policy.Temp{MaxAge: units.Duration(time.Hour)}), "temp_expired_files 1")
	f(temp(policy.Temp{EmptyMaxAge: units.Duration(time.Hour)}), "temp_expired_files 0")
	f(temp(policy.Temp{}), "")
}

// TestShapesOfAPolicysFolder: each scan reports the names of the files that the policy is about.
func TestShapesOfAPolicysFolder(t *testing.T) {
	b := newDirBench(t)
	b.file("tts-1.json", 100, time.Hour)
	b.file("tts-22.json", 200, time.Hour)
	b.file("sub/9f86d081-884c-4d63-a1b2-0242ac120002.json", 0, time.Hour)
	b.file("other.txt", 5, time.Hour)
	var scans []string
	src, err := NewDir(DirOptions{
		Target: "svc", Kind: policy.KindTemp, Policy: &policy.Temp{Common: b.common(), MaxFiles: 100},
		Shapes: func(at time.Time, every int64, shapes []dirscan.Shape) {
			scans = append(scans, fmt.Sprint(!at.IsZero(), every, shapes))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.sample(t.Context(), src); err != nil {
			t.Fatal(err)
		}
	}
	want := "true 1 [{tts-*.json 2 300 false} {sub/*.json 1 0 false}]"
	if len(scans) != 2 || scans[0] != want || scans[1] != want {
		t.Errorf("%q, want %q twice", scans, want)
	}
}

func TestTempSource(t *testing.T) {
	b := newDirBench(t)
	b.file("a.json", 100, 30*time.Minute)
	b.file("old.json", 200, time.Hour)
	b.file("sub/empty.json", 0, 5*time.Minute)
	b.file("young-empty.json", 0, time.Minute)
	b.file("future.json", 1, -24*time.Hour)
	b.file("index.json", 9000, 500*time.Hour)
	src, err := newTemp("svc", policy.Temp{
		Common: b.common(), MaxAge: units.Duration(time.Hour), EmptyMaxAge: units.Duration(5 * time.Minute), MaxFiles: 100,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.sample(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	b.compare("spillway_temp_", `
# HELP spillway_temp_directories Directories below the folder.
# TYPE spillway_temp_directories gauge
spillway_temp_directories{dir="media",target="svc"} 1
# HELP spillway_temp_empty_files Empty temporary files in the folder.
# TYPE spillway_temp_empty_files gauge
spillway_temp_empty_files{dir="media",target="svc"} 2
# HELP spillway_temp_expired_files Temporary files that a cleanup would remove now because they are too old or empty.
# TYPE spillway_temp_expired_files gauge
spillway_temp_expired_files{dir="media",target="svc"} 2
# HELP spillway_temp_files Temporary files in the folder, or entries where the policy has them.
# TYPE spillway_temp_files gauge
spillway_temp_files{dir="media",target="svc"} 5
# HELP spillway_temp_max_files Configured maximum number of temporary files.
# TYPE spillway_temp_max_files gauge
spillway_temp_max_files{dir="media",target="svc"} 100
# HELP spillway_temp_oldest_file_timestamp_seconds Unix time from which the oldest temporary file's age is measured.
# TYPE spillway_temp_oldest_file_timestamp_seconds gauge
spillway_temp_oldest_file_timestamp_seconds{dir="media",target="svc"} 1.7999964e+09
# HELP spillway_temp_size_bytes Total apparent size of the temporary files.
# TYPE spillway_temp_size_bytes gauge
spillway_temp_size_bytes{dir="media",target="svc"} 301
# HELP spillway_temp_used_ratio Highest usage among the folder's limits, as a ratio; absent where it has none.
# TYPE spillway_temp_used_ratio gauge
spillway_temp_used_ratio{dir="media",target="svc"} 0.05
`)
}

// sources returns both sources over the folder, with every limit.
func (b *dirBench) sources() map[string]Source {
	b.t.Helper()
	cache, err := newCache("svc", policy.Cache{Common: b.common(), MaxEntries: 4, MaxBytes: 8192, MaxAge: units.Duration(time.Hour)}, nil, 100)
	if err != nil {
		b.t.Fatal(err)
	}
	temp, err := newTemp("svc", policy.Temp{Common: b.common(), MaxFiles: 7, MaxAge: units.Duration(time.Hour)})
	if err != nil {
		b.t.Fatal(err)
	}
	return map[string]Source{"cache": cache, "temp": temp}
}

func TestDirSourcesAbsent(t *testing.T) {
	for name, limits := range map[string]string{
		"cache": "cache_max_age_seconds 3600, cache_max_entries 4, cache_max_size_bytes 8192",
		"temp":  "temp_max_files 7",
	} {
		b := newDirBench(t)
		src := b.sources()[name]
		missing := b.dir + " does not exist: create the folder, or correct its dir"
		if err := b.sample(t.Context(), src); errors.Is(err, ErrAbsent) || !errors.Is(err, fs.ErrNotExist) || err.Error() != missing {
			t.Errorf("%s of a folder that does not exist: %v, want %q", name, err, missing)
		}
		if got := b.published(); got != limits {
			t.Errorf("%s of a folder that does not exist: %s, want %s", name, got, limits)
		}
		b.file("a.json", 10, time.Minute)
		if err := b.sample(t.Context(), src); err != nil || !strings.Contains(b.published(), "oldest") {
			t.Errorf("%s once it exists: %v, %s", name, err, b.published())
		}
		if err := os.RemoveAll(b.dir); err != nil {
			t.Fatal(err)
		}
		if err := b.sample(t.Context(), src); err == nil || err.Error() != missing || b.published() != limits {
			t.Errorf("%s after it has gone: %v, %s, want %s", name, err, b.published(), limits)
		}
	}
}

// An empty folder has no oldest file, and nothing is 0 that was not counted.
func TestDirSourcesEmpty(t *testing.T) {
	for name, want := range map[string]string{
		"cache": "cache_disk_bytes 0, cache_entries 0, cache_expired_entries 0, cache_max_age_seconds 3600, cache_max_entries 4, cache_max_size_bytes 8192, cache_size_bytes 0, cache_used_ratio 0",
		"temp":  "temp_directories 0, temp_empty_files 0, temp_expired_files 0, temp_files 0, temp_max_files 7, temp_size_bytes 0, temp_used_ratio 0",
	} {
		b := newDirBench(t)
		if err := os.Mkdir(b.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := b.sample(t.Context(), b.sources()[name]); err != nil || b.published() != want {
			t.Errorf("%s: %v, %s\nwant %s", name, err, b.published(), want)
		}
	}
}

// A reading that failed is absent; only what the configuration says stays.
func TestDirSourcesFail(t *testing.T) {
	for _, name := range []string{"cache", "temp"} {
		b := newDirBench(t)
		b.file("a.json", 10, time.Minute)
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		for i := range 300 {
			b.file(fmt.Sprintf("%d.json", i), 0, time.Minute)
		}
		if err := b.sample(cancelled, b.sources()[name]); !errors.Is(err, context.Canceled) || strings.Contains(b.published(), "oldest") {
			t.Errorf("%s cancelled: %v, %s", name, err, b.published())
		}
		if err := os.Rename(b.dir, b.dir+"-real"); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(b.dir+"-real", b.dir); err != nil {
			t.Fatal(err)
		}
		err := b.sample(t.Context(), b.sources()[name])
		if err == nil || errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "symbolic link") || strings.Contains(b.published(), "oldest") {
			t.Errorf("%s of a link: %v, %s", name, err, b.published())
		}
	}
}

// What could not be read below the root fails the source, in the same words every time.
func TestUnreadable(t *testing.T) {
	var res dirscan.Result
	if err := unreadable("/srv/a", &res); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
	res.Skipped[dirscan.SkipError] = 5
	res.Errnos = map[unix.Errno]int64{unix.EIO: 2, unix.EACCES: 2, unix.ENOMEM: 1}
	const want = "/srv/a: 5 folders or files below it cannot be read, most of them for: input/output error; what is published lacks them"
	for range 20 {
		if err := unreadable("/srv/a", &res); !errors.Is(err, unix.EIO) || err.Error() != want {
			t.Fatalf("%v, want %s", err, want)
		}
	}
}

// TestCacheGivesWay: a cache whose file system is fuller than allowed is over its limit, and what is
// free is reported.
func TestCacheGivesWay(t *testing.T) {
	b := newDirBench(t)
	b.file("a.json", 5000, time.Hour)
	src, err := newCache("svc", policy.Cache{Common: b.common(), MinFreeBytes: 1 << 60}, nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.sample(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	ratio, _, ok := b.store.Value(metric.CacheUsedRatio, "svc", "media")
	free, _, known := b.store.Value(metric.CacheFreeBytes, "svc", "media")
	if !ok || !math.IsInf(ratio, 1) || !known || free <= 0 {
		t.Errorf("ratio %v %v, free %v %v", ratio, ok, free, known)
	}
}

// TestLinksCountOnce: a file with several names counts once towards a size, and each name as a file.
func TestLinksCountOnce(t *testing.T) {
	b := newDirBench(t)
	b.file("a.json", 8192, time.Hour)
	b.file("b.json", 8192, time.Hour)
	for i, name := range []string{"a2.json", "sub/a3.json"} {
		if err := os.MkdirAll(filepath.Join(b.dir, "sub"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(filepath.Join(b.dir, "a.json"), filepath.Join(b.dir, name)); err != nil {
			t.Fatal(i, err)
		}
	}
	cache, err := newCache("svc", policy.Cache{Common: b.common(), MaxBytes: 32 << 10}, nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	temp, err := newTemp("svc", policy.Temp{Common: b.common(), MaxBytes: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for src, want := range map[Source][]string{
		cache: {"cache_entries 4", "cache_size_bytes 16384", "cache_disk_bytes 16384", "cache_used_ratio 0.5"},
		temp:  {"temp_files 4", "temp_size_bytes 16384", "temp_used_ratio 0.5"},
	} {
		if err := b.sample(t.Context(), src); err != nil {
			t.Fatal(err)
		}
		for _, line := range want {
			if !slices.Contains(strings.Split(b.published(), ", "), line) {
				t.Errorf("no %q in %s", line, b.published())
			}
		}
	}
}
