package collector

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/folderlog"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// followBench is a folder whose files are followed.
type followBench struct {
	*dirBench
	logs   string
	log    *folderlog.Log
	source *DirSource
}

func newFollowBench(t *testing.T) *followBench {
	t.Helper()
	b := &followBench{dirBench: newDirBench(t), logs: t.TempDir()}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.log, err = folderlog.Open(b.logs); err != nil {
		t.Fatal(err)
	}
	b.reload()
	return b
}

// reload makes a new source, as a reload of the configuration does.
func (b *followBench) reload() {
	b.t.Helper()
	var err error
	b.source, err = NewDir(DirOptions{
		Target: "web", Kind: policy.KindTemp, Policy: &policy.Temp{Common: b.common(), MaxAge: units.Duration(time.Hour)},
		Log: func() *folderlog.Log { return b.log },
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// scan scans after a while.
func (b *followBench) scan(after time.Duration) {
	b.t.Helper()
	b.now = b.now.Add(after)
	if err := b.sample(b.t.Context(), b.source); err != nil {
		b.t.Fatal(err)
	}
}

func (b *followBench) touch(name string, used time.Time) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	info, err := os.Stat(path)
	if err == nil {
		err = os.Chtimes(path, used, info.ModTime())
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// events returns what was noted, as "kind seconds", with the same letter for each file.
func (b *followBench) events(since time.Time) (out []string, share float64) {
	b.t.Helper()
	if err := b.log.Close(); err != nil {
		b.t.Fatal(err)
	}
	events, share, err := b.log.Events(folderlog.Folder("web", policy.KindTemp, "media"), since.Add(-24*time.Hour), since.Add(1000*time.Hour))
	if err != nil {
		b.t.Fatal(err)
	}
	letters := map[uint64]string{0: "-"}
	for _, e := range events {
		if letters[e.Hash] == "" {
			letters[e.Hash] = string(rune('a' + len(letters) - 1))
		}
		kind := []string{"", "listed", "found", "written", "opened", "deleted"}[e.Kind]
		out = append(out, kind+" "+letters[e.Hash]+" "+strconv.Itoa(int(e.Time.Sub(since).Seconds()))+" "+strconv.FormatBool(e.Size > 0))
	}
	return out, share
}

func TestFollowFiles(t *testing.T) {
	b := newFollowBench(t)
	since := b.now
	b.file("old.json", 10, 2*time.Hour)
	b.file("sub/empty.json", 0, time.Minute)
	b.scan(0)
	b.file("new.json", 10, -10*time.Second) // ten seconds after the scan
	b.touch("old.json", since.Add(15*time.Second))
	b.scan(30 * time.Second)
	b.scan(30 * time.Second) // nothing happened
	if err := os.Remove(filepath.Join(b.dir, "old.json")); err != nil {
		t.Fatal(err)
	}
	b.file("moved.json", 10, time.Hour)
	b.scan(30 * time.Second)
	b.file("new.json", 5, 0)
	b.file("ignored.txt", 5, 0)
	b.scan(30 * time.Second)
	got, share := b.events(since)
	want := []string{
		"listed - 0 false", "found a 0 false", "found b 0 true",
		"written c 10 true", "opened b 15 true", "found d 90 true", "deleted b 90 true", "written c 90 true",
	}
	if share != 1 || !slices.Equal(got, want) {
		t.Errorf("of a share of %v:\n%q, want\n%q", share, got, want)
	}
}

// A reload lists all files again, so that what went meanwhile is known.
func TestFollowOverReload(t *testing.T) {
	b := newFollowBench(t)
	since := b.now
	b.file("a.json", 10, time.Hour)
	b.scan(0)
	b.reload()
	b.scan(30 * time.Second)
	got, _ := b.events(since)
	if want := []string{"listed - 0 false", "found a 0 true", "listed - 30 false", "found a 30 true"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Of a folder with many files a sample is followed, so that the memory is bounded.
func TestFollowSample(t *testing.T) {
	b := newFollowBench(t)
	since := b.now
	for i := range 2*mostFollowed + 1000 {
		b.file(strconv.Itoa(i)+".json", 0, time.Minute)
	}
	b.scan(0)
	if n := len(b.source.traces.last); n > mostFollowed || n < mostFollowed/4 {
		t.Errorf("%d files are followed", n)
	}
	got, share := b.events(since)
	if estimate := float64(len(got)-1) / share; share >= 1 || estimate < 8000 || estimate > 10500 {
		t.Errorf("%d events of a share of %v stand for %.0f files, want about 9192", len(got), share, estimate)
	}
}

// What cannot be read is not gone.
func TestFollowUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	b := newFollowBench(t)
	since := b.now
	b.file("sub/a.json", 10, time.Hour)
	b.scan(0)
	sub := filepath.Join(b.dir, "sub")
	if err := os.Chmod(sub, 0); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(30 * time.Second)
	if err := b.sample(t.Context(), b.source); err == nil {
		t.Error("a folder that cannot be read is not an error")
	}
	if err := os.Chmod(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, _ := b.events(since); len(got) != 2 {
		t.Errorf("%q, want no more than what was listed", got)
	}
}
