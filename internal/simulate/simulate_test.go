package simulate

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/eval"
	"github.com/spillway-exporter/spillway_exporter/rules"
)

const (
	daysOfSeed   = 5
	seedsDefault = 60
)

// number reads a variable of the environment.
func number(t testing.TB, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %q is not a number: write one such as 42", name, text)
	}
	return n
}

// loadRules loads the shipped rules that have a playbook; all of them would take most of the time for
// alerts that only inform.
func loadRules(t testing.TB) map[time.Duration]*eval.Ruleset {
	t.Helper()
	text, err := rules.Read(rules.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	head, _, ok := strings.Cut(string(text), "  - name: spillway-target\n")
	if !ok {
		t.Fatal("the bundle has no group spillway-target after those with a playbook")
	}
	out := make(map[time.Duration]*eval.Ruleset)
	for _, every := range intervals {
		out[every], err = eval.Load(eval.LoadOptions{Bundle: []eval.File{{Name: rules.Bundle, Content: []byte(head)}}, Interval: every})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// ending is what came of a story.
type ending struct {
	trace  uint64
	points int64
	broken []string
}

// story plays out the story of a seed.
func story(t *testing.T, seed uint64, rules map[time.Duration]*eval.Ruleset, told func(time.Duration, string)) (out ending) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("seed %d panics; repeat it with: make simulate SEED=%d", seed, seed)
			panic(p)
		}
	}()
	synctest.Test(t, func(*testing.T) {
		w := newWorld(seed, rules)
		w.told = told
		w.tell(daysOfSeed)
		w.p.bury()
		out = ending{w.sum.Load(), w.points.Load(), w.broken}
	})
	return out
}

// TestSimulate plays out the story of SEED, or those of SEEDS seeds from SEED on.
func TestSimulate(t *testing.T) {
	rules := loadRules(t)
	count := uint64(seedsDefault)
	if os.Getenv("SEED") != "" {
		count = 1
	}
	first, count := number(t, "SEED", 1), number(t, "SEEDS", count)
	var next, points atomic.Uint64
	begin, used := time.Now(), processorTime(t)
	t.Run("seeds", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for n := next.Add(1) - 1; n < count && !t.Failed(); n = next.Add(1) - 1 {
					seed := first + n
					out := story(t, seed, rules, teller(t, count))
					points.Add(uint64(out.points))
					if len(out.broken) > 0 {
						t.Errorf("seed %d: %s\nrepeat it with: make simulate SEED=%d", seed, strings.Join(out.broken, "\n"), seed)
					}
					if count == 1 {
						t.Logf("seed %d: trace %016x", seed, out.trace)
					}
				}
			})
		}
	})
	took, cpu := time.Since(begin), processorTime(t)-used
	days := min(next.Load(), count) * daysOfSeed
	t.Logf("%d seeds, %d days, %d steps in %s: %.1f s for 1,000 days, %.1f s of processor time", min(next.Load(), count), days, points.Load(),
		took.Round(time.Second), took.Seconds()*1000/float64(days), cpu.Seconds()*1000/float64(days))
}

// processorTime is what this process has used.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestSameSeedSameStory: a seed is one story, whatever else the machine does.
func TestSameSeedSameStory(t *testing.T) {
	rules := loadRules(t)
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			var first, second lines
			one, two := story(t, seed, rules, first.add), story(t, seed, rules, second.add)
			if one.trace != two.trace || one.points != two.points {
				t.Errorf("traces %016x and %016x of %d and %d steps, different from here on:\n%s", one.trace, two.trace, one.points, two.points, first.differ(&second))
			}
		})
	}
}

// lines is a trace as text, the lines of one nanosecond in the order of the alphabet.
type lines struct {
	mu   sync.Mutex
	list []line
}

type line struct {
	at   time.Duration
	what string
}

func (l *lines) add(at time.Duration, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, line{at, what})
}

func (l *lines) sorted() []string {
	slices.SortFunc(l.list, func(a, b line) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.what, b.what)) })
	out := make([]string, len(l.list))
	for i, x := range l.list {
		out[i] = fmt.Sprintf("%-16s %s", x.at, x.what)
	}
	return out
}

// differ returns where two traces differ first, with some lines before and after.
func (l *lines) differ(other *lines) string {
	a, b := l.sorted(), other.sorted()
	for i := range max(len(a), len(b)) {
		if i < len(a) && i < len(b) && a[i] == b[i] {
			continue
		}
		part := func(x []string) string { return strings.Join(x[min(max(i-4, 0), len(x)):min(i+4, len(x))], "\n") }
		return part(a) + "\n--\n" + part(b)
	}
	return "nowhere"
}

// teller prints the trace of a single seed.
func teller(t *testing.T, count uint64) func(time.Duration, string) {
	if count != 1 || !testing.Verbose() {
		return nil
	}
	return func(at time.Duration, what string) { t.Logf("%-16s %s", at, what) }
}
