// Package leakynode tests the example service with the flags that its README gives: that it fills
// its heap by itself, and that a forced collection brings its resident memory down.
package leakynode

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/heap"
)

// keepGarbage are the flags with which V8 leaves garbage alone until its old space is nearly full.
func keepGarbage(oldSpace string) []string {
	return []string{
		"--inspect=127.0.0.1:0", "--max-old-space-size=" + oldSpace, "--initial-old-space-size=" + oldSpace,
		"--max-semi-space-size=1", "--no-incremental-marking", "--heap-growing-percent=900",
	}
}

type service struct {
	Address   string `json:"address"`
	Inspector string `json:"inspector"`
	CacheDir  string `json:"cache_dir"`
	TempDir   string `json:"temp_dir"`
	OpenFile  string `json:"open_file"`
	cmd       *exec.Cmd
	out       *bufio.Scanner
}

type stats struct {
	Steps   int  `json:"steps"`
	Growing bool `json:"growing"`
	Memory  struct {
		RSS   int64 `json:"rss_bytes"`
		Used  int64 `json:"heap_used_bytes"`
		Limit int64 `json:"heap_limit_bytes"`
	} `json:"memory"`
	Held struct {
		Entries int `json:"entries"`
	} `json:"held"`
}

func start(t *testing.T, flags []string, options ...string) *service {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: this is the example of a Node.js service")
	}
	args := slices.Concat(flags, []string{"server.js", "--dir=" + t.TempDir()}, options)
	s := &service{cmd: exec.Command(path, args...)}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill(); s.cmd.Wait() })
	s.out = bufio.NewScanner(out)
	if !s.out.Scan() {
		t.Fatal("the service wrote no first line")
	}
	if err := json.Unmarshal(s.out.Bytes(), s); err != nil || s.Inspector == "" {
		t.Fatalf("first line %q: %v, want JSON with the addresses", s.out.Text(), err)
	}
	return s
}

func (s *service) get(t *testing.T, path string) string {
	t.Helper()
	resp, err := http.Get("http://" + s.Address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", path, resp.Status, err)
	}
	return string(body)
}

// until polls /stats until it is as wanted.
func (s *service) until(t *testing.T, what string, ok func(stats) bool) stats {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		var st stats
		if err := json.Unmarshal([]byte(s.get(t, "/stats")), &st); err != nil {
			t.Fatal(err)
		}
		if ok(st) {
			return st
		}
		if time.Now().After(deadline) {
			t.Fatalf("not %s in time: %+v", what, st)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func collect(t *testing.T, address string) (before, after heap.Usage) {
	t.Helper()
	pool := heap.NewPool(heap.Options{Logger: slog.New(slog.DiscardHandler)})
	defer pool.Close()
	client, err := pool.Get(heap.Config{Provider: heap.ProviderNode, Address: address}, heap.Target{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if before, after, err = client.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	return before, after
}

// The heap alone, as the alert on its own limit sees it.
func TestGarbageFillsTheHeapAndGoesWithAForcedCollection(t *testing.T) {
	s := start(t, keepGarbage("256"), "--every=20", "--burst=1000", "--once=1", "--for=120")
	if got := s.get(t, "/health"); got != "ok\n" {
		t.Errorf("/health = %q", got)
	}
	s.until(t, "full", func(st stats) bool { return !st.Growing })
	before, after := collect(t, s.Inspector)
	ratio := func(u heap.Usage) float64 { r, _ := u.Ratio(); return r }
	if ratio(before) < .85 || ratio(after) > .70 {
		t.Errorf("before %v, after %v, want from above 85%% to below 70%%", before, after)
	}
	s.checkTemp(t)
}

// Resident memory, which grows step by step and falls with a collection and with the cache.
func TestResidentMemoryFallsWithGarbageAndWithCacheFiles(t *testing.T) {
	const limit = 320 << 20
	s := start(t, keepGarbage("512"), "--every=10", "--stop-rss=280", "--once=1", "--for=120")
	full := s.until(t, "full", func(st stats) bool { return !st.Growing })
	if full.Memory.RSS < limit*85/100 {
		t.Errorf("full at %d bytes resident, want above 85%% of %d", full.Memory.RSS, limit)
	}
	collect(t, s.Inspector)
	less := s.until(t, "below 70%", func(st stats) bool { return st.Memory.RSS < limit*70/100 })
	entries, err := filepath.Glob(filepath.Join(s.CacheDir, "*.mp4"))
	if err != nil || len(entries) == 0 || len(entries) != less.Held.Entries {
		t.Fatalf("%d entries, %v, and %d held", len(entries), err, less.Held.Entries)
	}
	for _, e := range entries[:len(entries)/2] {
		os.Remove(e)
	}
	s.until(t, "let go", func(st stats) bool { return st.Held.Entries <= len(entries)/2+1 })
	collect(t, s.Inspector)
	half := int64(len(entries)/2) << 20
	s.until(t, "half of the cache less", func(st stats) bool { return st.Memory.RSS < less.Memory.RSS-half*3/4 })
}

func (s *service) checkTemp(t *testing.T) {
	t.Helper()
	empty, full := 0, 0
	files, err := os.ReadDir(s.TempDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil || !strings.HasSuffix(f.Name(), ".wav") {
			t.Fatalf("%s: %v, want *.wav", f.Name(), err)
		}
		if info.Size() == 0 {
			empty++
		} else {
			full++
		}
	}
	if empty <= full || full < 2 || filepath.Dir(s.OpenFile) != s.TempDir {
		t.Errorf("%d empty and %d full speech files, open %s", empty, full, s.OpenFile)
	}
}

func TestATrueLeakStays(t *testing.T) {
	s := start(t, keepGarbage("128"), "--every=10", "--once=1", "--for=120", "--leak=2", "--held=0", "--garbage=0")
	s.until(t, "full", func(st stats) bool { return !st.Growing })
	before, after := collect(t, s.Inspector)
	if r, _ := after.Ratio(); r < .85 {
		t.Errorf("before %v, after %v, want it above 85%% still", before, after)
	}
}

func TestItEndsByItself(t *testing.T) {
	s := start(t, keepGarbage("128"), "--for=0.5")
	last := ""
	for s.out.Scan() {
		last = s.out.Text()
	}
	if err := s.cmd.Wait(); err != nil || !strings.HasPrefix(last, `{"end":`) {
		t.Errorf("ended with %v after %q, want success and a last report", err, last)
	}
}

func TestWrongOptionsSayWhatToWrite(t *testing.T) {
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: this is the example of a Node.js service")
	}
	for option, want := range map[string]string{"--speed=1": "write one of", "--every=fast": "must be a number", "fast": "--name=value"} {
		out, err := exec.Command(path, "server.js", option).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, %q, want %q", option, err, out, want)
		}
	}
}
