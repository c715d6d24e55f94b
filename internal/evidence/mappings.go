package evidence

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// RungMappings is how the memory of any process is captured: by what it has mapped.
const RungMappings = "mappings"

// Bounds of a reading of smaps.
const (
	// mostMapped is of a process's resident bytes: reading a larger one would stall it (13 ms for each GB), as with PSS.
	mostMapped    = 512 << 20
	mostSmaps     = 32 << 20
	leastRange    = 4 << 20 // addresses of an anonymous range that has a row of its own
	mostRangeName = 24      // bytes of the name that a program has given to a range
)

// ErrTooLarge says that a process is not read, because that would stall it for too long.
var ErrTooLarge = errors.New("process is too large for its mappings to be read")

// Mapped is what the processes of a target have mapped, in memory, and what grew. It is safe for concurrent use; the zero value
// is ready.
type Mapped struct {
	once sync.Once
	seed maphash.Seed

	mu sync.Mutex
	of map[string]*growing
}

// Mappings is what holds the memory of the largest process of a target, by what it has mapped.
type Mappings struct {
	Newest Profile    `json:"newest"`
	Grew   Difference `json:"grew"` // since the first reading of this start, or in a day
}

// Look reads the largest process of a target. The error is an ErrTooLarge where that would stall it. What it holds in files is
// counted under their names, anonymous memory by ranges: a large one has a row of its own, whose name stays the same as long as
// it begins where it did.
func (m *Mapped) Look(procfs, target string, members []proc.Member, now time.Time, redact *Redactor) error {
	if len(members) == 0 {
		return nil
	}
	largest := members[0]
	for _, o := range members[1:] {
		if o.Resident > largest.Resident {
			largest = o
		}
	}
	if largest.Resident > mostMapped {
		return fmt.Errorf("process %d: %w", largest.PID, ErrTooLarge)
	}
	m.once.Do(func() { m.seed = maphash.MakeSeed() })
	start := time.Now()
	p, err := readSmaps(procfs, &largest, m.seed, redact)
	if err != nil {
		return fmt.Errorf("mappings of process %d: %w", largest.PID, err)
	}
	p.Target, p.Time, p.Pause = target, now, time.Since(start)
	p.Epoch = fmt.Sprintf("%d/%d", largest.PID, largest.Start.UnixMilli())
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == nil {
		m.of = make(map[string]*growing)
	}
	if m.of[target] == nil {
		m.of[target] = new(growing)
	}
	m.of[target].add(&p)
	return nil
}

// Of returns what is known of a target; nil where nothing is.
func (m *Mapped) Of(target string) *Mappings {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.of[target]
	if g == nil {
		return nil
	}
	return &Mappings{Newest: g.newest, Grew: grew(&g.first, &g.newest)}
}

func readSmaps(procfs string, m *proc.Member, seed maphash.Seed, redact *Redactor) (Profile, error) {
	dir := filepath.Join(procfs, strconv.Itoa(m.PID))
	f, err := os.Open(filepath.Join(dir, "smaps"))
	if err != nil {
		return Profile{}, err
	}
	defer f.Close()
	out := newRows(redact)
	if err := decodeSmaps(io.LimitReader(f, mostSmaps), seed, out); err != nil {
		return Profile{}, err
	}
	if ticks := startTicks(dir); m.StartTicks() != 0 && ticks != m.StartTicks() {
		return Profile{}, errors.New("it has ended, and its number may be another's")
	}
	p := Profile{Rung: RungMappings, Kind: KindMapping}
	out.into(&p)
	return p, nil
}

// startTicks reads when a process began, 0 where that is not known.
func startTicks(dir string) uint64 {
	raw, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	if len(fields) < 20 {
		return 0
	}
	ticks, _ := strconv.ParseUint(string(fields[19]), 10, 64)
	return ticks
}

// decodeSmaps adds up what is resident, and what is swapped out, of each mapping: see proc_pid_smaps(5).
func decodeSmaps(r io.Reader, seed maphash.Seed, out *rows) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 8<<10), 64<<10)
	var row Row
	var held int64
	found := false
	end := func() {
		if found {
			out.addTo(row, held, 1)
		}
	}
	for lines.Scan() {
		line := lines.Bytes()
		name, value, isField := bytes.Cut(line, []byte(":"))
		if isField && !bytes.ContainsRune(name, ' ') {
			if string(name) == "Rss" || string(name) == "Swap" {
				held += kilobytes(value)
			}
			continue
		}
		next, ok := mapping(line, seed)
		if !ok {
			return fmt.Errorf("%w: %.60q is not a mapping", ErrInvalid, line)
		}
		end()
		row, held, found = next, 0, true
	}
	end()
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !found {
		return fmt.Errorf("%w: it has no mapping", ErrInvalid)
	}
	return nil
}

// mapping names the mapping of a line "7f00-7f10 rw-p 00000000 08:01 1234   /usr/lib/x.so".
func mapping(line []byte, seed maphash.Seed) (Row, bool) {
	fields := bytes.SplitN(line, []byte(" "), 6)
	if len(fields) < 5 {
		return Row{}, false
	}
	from, to, ok := bytes.Cut(fields[0], []byte("-"))
	begin, err := strconv.ParseUint(string(from), 16, 64)
	end, endErr := strconv.ParseUint(string(to), 16, 64)
	if cmp.Or(err, endErr) != nil || !ok || end < begin || len(fields[1]) < 4 {
		return Row{}, false
	}
	var path []byte
	if len(fields) == 6 {
		path = bytes.TrimSpace(fields[5])
	}
	code := ""
	if fields[1][2] == 'x' {
		code = " with code"
	}
	switch {
	case bytes.HasPrefix(path, []byte("/")):
		return Row{Name: "file", File: string(path)}, true
	case bytes.HasPrefix(path, []byte("[anon:")):
		return Row{Name: "anonymous " + string(path[6:min(len(path), 6+mostRangeName)])}, true
	case len(path) > 0:
		return Row{Name: string(path[:min(len(path), mostRangeName)])}, true // [heap], [stack]
	case end-begin < leastRange:
		return Row{Name: "anonymous, small ranges" + code}, true
	}
	// An address would help whoever attacks the process: of the range there is a number that only this exporter can make.
	id := maphash.Comparable(seed, begin) % 10_000
	return Row{Name: fmt.Sprintf("anonymous range %d%s", id, code)}, true
}

func kilobytes(value []byte) int64 {
	text, isKB := bytes.CutSuffix(bytes.TrimSpace(value), []byte(" kB"))
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || !isKB || n < 0 || n > maxBytes>>10 {
		return 0
	}
	return n << 10
}
