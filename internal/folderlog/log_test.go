package folderlog

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

const media = "web/cache/media"

var start = time.UnixMilli(1_750_000_000_000)

func open(t *testing.T, dir string) *Log {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func eventsOf(t *testing.T, dir, folder string) ([]Event, float64) {
	t.Helper()
	events, share, err := open(t, dir).Events(folder, start.Add(-time.Hour), start.Add(1000*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return events, share
}

// fill records n events, a second apart, of files with the hashes 1, 2, ...
func fill(l *Log, folder string, from, n int) {
	for i := from; i < from+n; i++ {
		l.Record(Written, start.Add(time.Duration(i)*time.Second), folder, uint64(i+1), int64(100*i))
	}
}

func TestEventsAreReadBack(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	if _, list := l.Begin(media, start); !list {
		t.Error("the files of a folder that was never listed are not to be listed")
	}
	l.Record(Listed, start, media, 0, 0)
	l.Find(start, media, 7, 0, start.Add(-48*time.Hour), start.Add(-time.Hour))
	l.Record(Written, start.Add(3*time.Second), media, 1<<63|9, 1<<40)
	l.Record(Opened, start.Add(time.Second), media, 7, 5)
	l.Record(Deleted, start.Add(4*time.Second), "web/temp/tts", 9, 1)
	if _, list := l.Begin(media, start.Add(ListEvery-1)); list {
		t.Error("they are listed again too early")
	}
	if _, list := l.Begin(media, start.Add(ListEvery)); !list {
		t.Error("they are not listed again after a day")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got, share := eventsOf(t, dir, media)
	want := []Event{
		{Kind: Listed, Time: start},
		{Kind: Found, Time: start, Hash: 7, Written: start.Add(-48 * time.Hour), Used: start.Add(-time.Hour)},
		{Kind: Opened, Time: start.Add(time.Second), Hash: 7, Size: 5},
		{Kind: Written, Time: start.Add(3 * time.Second), Hash: 1<<63 | 9, Size: 1 << 40},
	}
	if !slices.Equal(got, want) || share != 1 {
		t.Errorf("got %v, of a share of %v, want %v", got, share, want)
	}
}

// A process that is killed loses what it had not flushed, and the next one goes on.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	fill(l, media, 0, 10)
	if err := l.Flush(start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	fill(l, media, 10, 5) // never written
	l.file.Close()        // the lock goes with the process
	next := open(t, dir)
	fill(next, media, 20, 3)
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	if got, _ := eventsOf(t, dir, media); len(got) != 13 || got[10].Hash != 21 {
		t.Errorf("%d events after a kill, want the 10 that were flushed and the 3 after it", len(got))
	}
}

// A frame that was cut anywhere is dropped, and what is written next is read.
func TestCutInAWrite(t *testing.T) {
	for cut := int64(1); cut < 150; cut += 7 {
		dir := t.TempDir()
		l := open(t, dir)
		fill(l, media, 0, 10)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, FileName)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		fill(l, media, 10, 10)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, info.Size()+cut); err != nil {
			t.Fatal(err)
		}
		next := open(t, dir)
		fill(next, media, 20, 10)
		if err := next.Close(); err != nil {
			t.Fatal(err)
		}
		if got, _ := eventsOf(t, dir, media); len(got) != 20 || got[10].Hash != 21 {
			t.Fatalf("cut at %d: %d events, want 10 and 10", cut, len(got))
		}
	}
}

type fullDisk struct {
	file
	full *bool
	part int
}

func (f fullDisk) WriteAt(b []byte, at int64) (int, error) {
	if !*f.full {
		return f.file.WriteAt(b, at)
	}
	n, _ := f.file.WriteAt(b[:min(f.part, len(b))], at)
	return n, syscall.ENOSPC
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	l, full := open(t, dir), false
	l.wrap = func(f file) file { return fullDisk{f, &full, 50} }
	fill(l, media, 0, 10)
	if err := l.Flush(start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	full = true
	fill(l, media, 10, 10)
	if err := l.Flush(start.Add(2 * time.Hour)); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%v on a full disk", err)
	}
	if got, _ := eventsOf(t, dir, media); len(got) != 10 {
		t.Errorf("%d events are read while the disk is full, want the 10 from before", len(got))
	}
	full = false
	if err := l.Flush(start.Add(3 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got, _ := eventsOf(t, dir, media); len(got) != 20 {
		t.Errorf("%d events once there is room, want all 20", len(got))
	}
}

// What waits for a disk that stays full is bounded, and the files are listed anew.
func TestFullDiskForLong(t *testing.T) {
	l, full := open(t, t.TempDir()), true
	l.wrap = func(f file) file { return fullDisk{f, &full, 0} }
	l.Record(Listed, start, media, 0, 0)
	most := 0
	for i := range 100_000 {
		l.Record(Found, start, media, uint64(i), 1)
		most = max(most, len(l.folders[media].events))
	}
	if most > keptUnsaved+100 {
		t.Errorf("%d bytes wait in memory", most)
	}
	if _, list := l.Begin(media, start); !list {
		t.Error("the files are not listed although events were lost")
	}
}

func TestFlippedBytes(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	for i := range 20 {
		fill(l, media, 10*i, 10)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, FileName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := pageSize; at < len(whole); at += 13 {
		flipped := slices.Clone(whole)
		flipped[at] ^= 0x55
		if err := os.WriteFile(path, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		got, _ := eventsOf(t, dir, media)
		if len(got) != 200 && len(got) != 190 { // padding, or one frame
			t.Fatalf("byte %d flipped: %d events, want all but those of one frame", at, len(got))
		}
		for _, e := range got {
			if want := int64(100 * (e.Hash - 1)); e.Kind != Written || e.Size != want {
				t.Fatalf("byte %d flipped: %v is not what was recorded", at, e)
			}
		}
	}
}

// One half of the first page is enough.
func TestDamagedHeader(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	fill(l, media, 0, 10)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, FileName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[3] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, _ := eventsOf(t, dir, media); len(got) != 10 {
		t.Errorf("%d events with one damaged header", len(got))
	}
}

func TestForeignFilesAreNotTouched(t *testing.T) {
	later := encodeHeader()
	for _, at := range []int{0, headerTwin} {
		order.PutUint32(later[at+16:], version+1)
		order.PutUint32(later[at+20:], checksum(later[at:at+20]))
	}
	for name, tc := range map[string]struct {
		content []byte
		want    error
	}{
		"later version": {later, ErrVersion},
		"another file":  {[]byte("something that is not a log, and long enough to have a header"), ErrForeign},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, FileName)
		if err := os.WriteFile(path, tc.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if after, err := os.ReadFile(path); err != nil || !slices.Equal(after, tc.content) {
			t.Errorf("%s: it was changed (%v)", name, err)
		}
	}
}

// One that turns up after the log was opened is not touched either.
func TestForeignFileLater(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	fill(l, media, 0, 1)
	path := filepath.Join(dir, FileName)
	if err := os.WriteFile(path, []byte("a file of someone else, which stays as it is"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); !errors.Is(err, ErrForeign) {
		t.Errorf("%v, want %v", err, ErrForeign)
	}
}

func TestOneProcessWrites(t *testing.T) {
	dir := t.TempDir()
	l, other := open(t, dir), open(t, dir)
	fill(l, media, 0, 1)
	if err := l.Flush(start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	fill(other, media, 1, 1)
	if err := other.Flush(start.Add(time.Hour)); !errors.Is(err, ErrLocked) {
		t.Errorf("%v for the second one that writes, want %v", err, ErrLocked)
	}
	if events, _, err := other.Events(media, start, start.Add(time.Hour)); err != nil || len(events) != 1 {
		t.Errorf("%d events are read alongside the one that writes, %v", len(events), err)
	}
}

// The file is bounded: the newest events are there, in their order, and none is read twice.
func TestBounded(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	l.max = pageSize + 20_000
	const all = 5000
	for i := range all / 50 {
		fill(l, media, 50*i, 50)
		if err := l.Close(); err != nil { // and open again, to find the end
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, FileName))
	if err != nil || info.Size() > l.max {
		t.Fatalf("the file has %d bytes, %v; it may have %d", info.Size(), err, l.max)
	}
	got, _ := eventsOf(t, dir, media)
	if len(got) < 500 || len(got) > 2000 {
		t.Fatalf("%d events are kept", len(got))
	}
	for i, e := range got {
		if want := uint64(all - len(got) + i + 1); e.Hash != want {
			t.Fatalf("event %d is of the file %d, want %d", i, e.Hash, want)
		}
	}
	if l.Damaged() > 0 {
		t.Errorf("%d parts count as damaged that were overwritten", l.Damaged())
	}
}

// A folder in which too much happens is sampled, by whole files; another one is not.
func TestSampledAboveARate(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	hash := func(i int) uint64 { return uint64(i) * 0x9e3779b97f4a7c15 >> 3 }
	for i := range 40_000 {
		at := start.Add(time.Duration(i) * time.Millisecond)
		l.Record(Written, at, media, hash(i), 1)
		l.Record(Opened, at, media, hash(i), 1)
		if err := l.Flush(at); err != nil {
			t.Fatal(err)
		}
	}
	l.Record(Written, start, "web/temp/tts", 3, 1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got, share := eventsOf(t, dir, media)
	if share >= 1 || len(got) > MostPerHour || len(got) == 0 {
		t.Fatalf("%d events in an hour, of a share of %v", len(got), share)
	}
	made := make(map[uint64]int)
	for _, e := range got {
		made[e.Hash]++
	}
	for h, n := range made {
		if n != 2 {
			t.Fatalf("%d events of the file %x, want both or none", n, h)
		}
	}
	if estimate := float64(len(made)) / share; estimate < 30_000 || estimate > 50_000 {
		t.Errorf("the sample stands for %.0f files, want about 40,000", estimate)
	}
	if _, share := eventsOf(t, dir, "web/temp/tts"); share != 1 {
		t.Errorf("a share of %v of a quiet folder", share)
	}
}

func FuzzDecode(f *testing.F) {
	fr := frame{seq: 1, folder: []byte(media), base: start.UnixMilli()}
	fr.events = appendEvent(nil, &Event{Kind: Found, Time: start, Hash: 1, Size: 2, Written: start, Used: start}, fr.base)
	f.Add(fr.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, size, ours, ok := decode(b)
		if !ok {
			return
		}
		if !ours || size <= 0 {
			t.Fatalf("size %d, ours %v", size, ours)
		}
		fr.each(func(Event) {})
	})
}
