package action

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// TestEvictTouchedBetweenPasses: what is used after it was counted survives, and the next oldest
// go instead.
func TestEvictTouchedBetweenPasses(t *testing.T) {
	dir := realDir(t)
	const n = 40
	for i := range n {
		put(t, fmt.Sprintf("%s/f%02d", dir, i), 1, time.Duration(100-i)*time.Hour)
	}
	all := units.Ratio(1)
	p := policy.Cache{Common: common(dir), MaxEntries: 30, EvictTo: &all, MaxAge: units.Duration(99*time.Hour + time.Minute)}
	touched := false
	changing := naming(func(path, why string) {
		// f00 goes for its age in the first pass, when a part of the others may be counted.
		if touched {
			return
		}
		touched = true
		now := time.Now()
		for i := 1; i < 6; i++ {
			if err := os.Chtimes(fmt.Sprintf("%s/f%02d", dir, i), now, now); err != nil {
				t.Error(err)
			}
		}
	})
	res, err := newEvictCache(dirOptions(), []policy.Cache{p}).Run(t.Context(), Request{OnFile: changing})
	if err != nil || !touched {
		t.Fatal(res, err)
	}
	for i := range n {
		_, err := os.Lstat(fmt.Sprintf("%s/f%02d", dir, i))
		if gone := err != nil; gone != (i == 0 || i >= 6 && i < 15) {
			t.Errorf("f%02d gone: %v", i, gone)
		}
	}
}

// TestEvictWhileFilling evicts again and again while someone fills the cache and reads from it: a
// file younger than the floor never goes, and one that is held never goes.
func TestEvictWhileFilling(t *testing.T) {
	dir := realDir(t)
	floor, all := units.Duration(30*time.Second), units.Ratio(.5)
	p := policy.Cache{Common: common(dir), MaxEntries: 100, EvictTo: &all}
	p.MinAge = &floor
	put(t, dir+"/held", 1, 100*time.Hour)
	held, err := os.Open(dir + "/held")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	const fill = 1500
	var wg sync.WaitGroup
	var lost []string
	full := make(chan struct{})
	wg.Go(func() {
		defer close(full)
		for i := range fill {
			young := fmt.Sprintf("%s/%d/young%d", dir, i%5, i)
			put(t, young, 1, 0)
			put(t, fmt.Sprintf("%s/%d/old%d", dir, i%5, i), 1, time.Hour)
			if _, err := os.Lstat(young); err != nil {
				lost = append(lost, young)
			}
			if i%50 == 49 {
				os.Remove(young)
			}
		}
	})
	files := int64(0)
	for going := true; going; {
		select {
		case <-full:
			going = false // one run more
		default:
		}
		res, err := newEvictCache(dirOptions(), []policy.Cache{p}).Run(t.Context(), Request{})
		if err != nil || res.Outcome != Done && res.Outcome != Partial { // over the limit by what is too young
			t.Error(res, err)
		}
		files += res.Files
	}
	wg.Wait()
	if len(lost) > 0 {
		t.Errorf("%d files below the floor are gone: %.3v", len(lost), lost)
	}
	if _, err := os.Lstat(dir + "/held"); err != nil || files < fill*9/10 {
		t.Errorf("held: %v, %d files evicted in all, want nearly all of the %d old ones", err, files, fill)
	}
}

// TestTwoCleanersAtOnce: two runs over one folder do each other no harm and together remove
// everything that is due once.
func TestTwoCleanersAtOnce(t *testing.T) {
	for _, strict := range []bool{false, true} {
		dir := realDir(t)
		const n = 2000
		for i := range n {
			put(t, fmt.Sprintf("%s/%d/f%d", dir, i%7, i), 1, time.Hour)
		}
		put(t, dir+"/young", 1, 0)
		p := policy.Temp{Common: common(dir), MaxAge: units.Duration(time.Minute)}
		p.Strict = strict
		var wg sync.WaitGroup
		var results [2]Result
		for i := range results {
			wg.Go(func() {
				results[i], _ = newCleanTemp(dirOptions(), []policy.Temp{p}).Run(t.Context(), Request{})
			})
		}
		wg.Wait()
		for i := range results {
			for reason := range results[i].Skipped {
				if strings.HasPrefix(reason, "error_") {
					t.Errorf("strict %v: run %d skipped %v, want no errors", strict, i, results[i].Skipped)
				}
			}
		}
		// A file that one run had under its lease while the other looked stays for the next run.
		res, err := newCleanTemp(dirOptions(), []policy.Temp{p}).Run(t.Context(), Request{})
		if err != nil || results[0].Files+results[1].Files+res.Files != n {
			t.Errorf("strict %v: removed %d, %d and %d, %v; want %d in all", strict, results[0].Files, results[1].Files, res.Files, err, n)
		}
		if got := left(t, dir); len(got) != 1 || got[0] != "young" {
			t.Errorf("strict %v: %d files left, want the young one", strict, len(got))
		}
	}
}

const helperEnv = "SPILLWAY_ACTION_HELPER"

// TestHelperProcess is not a test: it evicts and says which files went, until it is killed.
func TestHelperProcess(t *testing.T) {
	dir := os.Getenv(helperEnv)
	if dir == "" {
		t.Skip("runs in a process of its own")
	}
	all := units.Ratio(1)
	p := policy.Cache{Common: common(dir), MaxEntries: 500, EvictTo: &all}
	out := bufio.NewWriter(os.Stdout)
	dot := func(PolicyResult, []byte, string) {
		out.WriteByte('.')
		out.Flush()
	}
	if _, err := newEvictCache(dirOptions(), []policy.Cache{p}).Run(t.Context(), Request{OnFile: dot}); err != nil {
		t.Fatal(err)
	}
}

// TestKilledEviction kills evictions at random moments: what has gone then was due, and the next
// run finishes.
func TestKilledEviction(t *testing.T) {
	dir := realDir(t)
	const n, keep = 1000, 500
	random := rand.New(rand.NewPCG(5, 6))
	cut := 0
	for range 10 {
		for i := range n {
			put(t, fmt.Sprintf("%s/%d/f%04d", dir, i%4, i), 1, time.Duration(2*n-i)*time.Minute)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestHelperProcess$")
		cmd.Env = append(os.Environ(), helperEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1)
		for range 1 + random.IntN(n-keep-1) {
			if _, err := out.Read(buf); err != nil {
				break
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
		if now := len(left(t, dir)); now < n && now > keep {
			cut++
		}
		res, err := newEvictCache(dirOptions(), []policy.Cache{{Common: common(dir), MaxEntries: keep, EvictTo: new(units.Ratio)}}).Run(t.Context(), Request{EvictTo: 1})
		if err != nil || res.Outcome != Done {
			t.Fatal(res, err)
		}
		names := left(t, dir)
		if len(names) != keep {
			t.Fatalf("%d files left, want %d", len(names), keep)
		}
		for _, name := range names {
			if filepath.Base(name) < fmt.Sprintf("f%04d", n-keep) {
				t.Fatalf("%s is left, older than what went", name)
			}
		}
	}
	if cut == 0 {
		t.Error("no run was killed in its middle: the test has tested nothing")
	}
}

// TestDryRunChangesNoTimeStamp over a whole tree, with every rule of both actions.
func TestDryRunChangesNoTimeStamp(t *testing.T) {
	dir := realDir(t)
	for i := range 60 {
		put(t, fmt.Sprintf("%s/%d/%d/f%d", dir, i%3, i%2, i), i%4, time.Duration(i)*time.Hour)
	}
	stamps := func() (out []string) {
		filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			var st unix.Statx_t
			if err == nil {
				err = unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &st)
			}
			out = append(out, fmt.Sprint(path, st.Atime, st.Mtime, st.Ctime, st.Nlink, err))
			return nil
		})
		return out
	}
	stamps() // reading the folders has set their access times
	before := strings.Join(stamps(), "\n")
	temp := policy.Temp{Common: common(dir), MaxAge: units.Duration(50 * time.Hour), EmptyMaxAge: units.Duration(time.Hour), MaxFiles: 10}
	cache := policy.Cache{Common: common(dir), MaxEntries: 20, MaxAge: units.Duration(40 * time.Hour)}
	temp.Strict, cache.Strict = true, true
	for _, a := range []Action{newCleanTemp(dirOptions(), []policy.Temp{temp}), newEvictCache(dirOptions(), []policy.Cache{cache})} {
		if res, err := a.Run(t.Context(), Request{DryRun: true}); err != nil || res.Files < 40 {
			t.Errorf("%T: %d files, %v; want at least 40 named", a, res.Files, err)
		}
	}
	if after := strings.Join(stamps(), "\n"); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
