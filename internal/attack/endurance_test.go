//go:build attack

package attack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// endurance is everything at once, alongside a service that leaks.
type endurance struct {
	*stage
	config    strings.Builder
	plays     [][]string // role and arguments
	attackers []*stageAttacker
	precious  map[string]stageEntry
	leaky     struct {
		CacheDir string `json:"cache_dir"`
		TempDir  string `json:"temp_dir"`
		Address  string `json:"address"`
	}
}

// own makes a folder of the service below the folder of the attack.
func (e *endurance) own(name string) string { return e.folder(e.dir+"/"+name, stageService) }

// folders makes what the attackers play with, and the policies.
func (e *endurance) folders() {
	victim := e.victim(e.dir + "/victim")
	tree, strict, opened, odd, holding := e.own("tree"), e.own("strict"), e.own("opened"), e.own("odd"), e.own("holding")
	moved, outside, cache, uploads, logs, taken := e.own("moved"), e.own("outside"), e.own("cache"), e.own("uploads"), e.own("logs"), e.own("taken")
	shared, still := e.own("shared"), e.own("still")
	quarantine := e.folder(e.dir+"/quarantine", 0)
	err := os.Chmod(quarantine, 0o700)
	for _, dir := range []string{tree, uploads} {
		e.folder(dir+"/sub", stageService)
		if err == nil {
			err = os.Symlink(victim, dir+"/link")
		}
	}
	if err != nil {
		e.t.Fatal(err)
	}
	e.precious = e.treasure(40, strict)
	e.fill(still, 100, stageService)
	for i := range 100 {
		e.must(fmt.Sprintf("%s/f%d.tmp", still, i))
	}
	e.write(e.dir+"/victim/root.log", "the secret of root\n"+strings.Repeat("s", 64<<10), 0)
	for i := range 20 {
		path := fmt.Sprintf("%s/theirs%d.tmp", shared, i)
		if err := stageAged(path, []int{0, stageOther}[i%2]); err != nil {
			e.t.Fatal(err)
		}
		e.must(path)
	}
	e.must(e.dir + "/victim/root.log")
	e.config.WriteString(stageTemps("dir: "+tree, "strict: true, dir: "+strict, "dir: "+opened, "dir: "+odd, "dir: "+holding, "dir: "+moved, "dir: "+taken))
	fmt.Fprintf(&e.config, "    caches: [{name: c, dir: %s, include: ['*.tmp'], max_entries: 50, evict_to: 50%%, age_by: mtime, min_age: 1s}]\n", cache)
	fmt.Fprintf(&e.config, "    uploads: [{name: u, dir: %s, include: ['*.tmp'], max_age: 1m, age_by: mtime, min_age: 1s, quarantine: %s}]\n", uploads, quarantine)
	fmt.Fprintf(&e.config, "    logs: [{name: l, dir: %s, include: [app.log], max_bytes: 64KiB, keep_files: 3, compress: true}]\n", logs)
	fmt.Fprintf(&e.config, "  - name: still\n    mode: dry_run\n    temp_dirs: [{name: s, dir: %s, every: 10s, %s}]\n", still, stageTemp)
	e.plays = [][]string{
		{"exchange", tree + "/sub", tree + "/link"},
		{"last look", strict, "40"},
		{"open", opened},
		{"odd", odd},
		{"holding", holding, victim, "1m"},
		{"move out", moved, outside},
		{"take in", shared, taken},
		{"fill", "100", cache},
		{"exchange", uploads + "/sub", uploads + "/link"},
		{"logs", logs, e.dir + "/victim/root.log", "pipe"},
	}
}

// leak starts the service of the demo, which fills folders of its own and its memory.
func (e *endurance) leak() {
	program, dir := e.dir+"/leaky", e.own("leak")
	if out, err := exec.Command("go", "build", "-o", program, "../../examples/leaky").CombinedOutput(); err != nil {
		e.t.Fatalf("%v: %s", err, out)
	}
	id := strconv.Itoa(stageService)
	p := e.start(nil, "setpriv", "--reuid="+id, "--regid="+id, "--clear-groups", program, "--dir="+dir, "--for=24h")
	e.await(20*time.Second, "the service has started", func() error {
		line, _, _ := strings.Cut(p.out.String(), "\n")
		return json.Unmarshal([]byte(line), &e.leaky)
	})
	fmt.Fprintf(&e.config, `  - name: leaky
    processes: {match: {exe: %s, user: "%d"}}
    memory: {limit: 256MiB}
    heap: {provider: go_pprof, address: %s}
    caches: [{name: cache, dir: %s, include: ['*.mp4'], max_bytes: 16MiB, evict_to: 50%%, age_by: mtime, min_age: 1s}]
    temp_dirs: [{name: tts, dir: %s, include: ['*.wav'], max_age: 2s, empty_max_age: 1s, max_files: 100, age_by: mtime, min_age: 1s, every: 10s}]
`, program, stageService, e.leaky.Address, e.leaky.CacheDir, e.leaky.TempDir)
}

// resident is what the exporter has in memory: all of it, by VmRSS, or without the pages of files, by RssAnon. The
// file of the journal is mapped, and grows with each record.
func (s *stage) resident(part string) int64 {
	s.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.exporter.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range bytes.Lines(raw) {
		if rest, ok := bytes.CutPrefix(line, []byte(part+":")); ok {
			kib, _ := strconv.ParseInt(string(bytes.Fields(rest)[0]), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// begin of each action in turn, four a second, and the runs of another target, which is in dry_run.
func (e *endurance) load() (files int64) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	actions := []string{"clean_temp", "evict_cache", "enforce_uploads", "rotate_logs"}
	for i := 0; e.lasts(); i++ {
		files += e.run(actions[i%len(actions)]).Files
		<-tick.C
	}
	return files
}

// scrapes asks two servers in turn until done is closed, the exporter with the token, and returns how long the
// answers of each took, in order of their length.
func (e *endurance) scrapes(done <-chan struct{}, other string) (own, others []time.Duration, err error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		begin := time.Now()
		if _, err := e.get("/metrics"); err != nil {
			return own, others, err
		}
		own = append(own, time.Since(begin))
		begin = time.Now()
		resp, err := stageClient.Get(other + "/metrics")
		if err != nil {
			return own, others, err
		}
		if _, err = io.Copy(io.Discard, resp.Body); err != nil {
			return own, others, err
		}
		resp.Body.Close()
		others = append(others, time.Since(begin))
		select {
		case <-done:
			slices.Sort(own)
			slices.Sort(others)
			return own, others, nil
		case <-tick.C:
		}
	}
}

// inTime judges how long the answers took. On a host whose processors are all busy everything waits for its turn: what
// another exporter, which does nothing, needed at the same time is not for the attack.
func (e *endurance) inTime(own, others []time.Duration) {
	e.t.Helper()
	const most = 50 * time.Millisecond
	last := len(own) - 1
	if last < 0 {
		e.t.Fatal("there was no scrape")
	}
	p99 := last * 99 / 100
	e.t.Logf("%d scrapes: median %s, 99 of 100 within %s, the longest %s", len(own), own[last/2], own[p99], own[last])
	e.t.Logf("another exporter: median %s, 99 of 100 within %s, the longest %s", others[last/2], others[p99], others[last])
	ran, waited := e.scheduled()
	e.t.Logf("the exporter ran for %s and waited %s for a processor", ran, waited)
	switch {
	case own[p99] <= most+2*others[p99]:
	case waited > ran/2:
		e.t.Log("the processors of this host are taken by others: how long an answer takes is not judged")
	default:
		e.harmed("one scrape of 100 takes %s or longer", own[p99])
	}
}

// scheduled returns how long the threads of the exporter ran, and how long they waited while they could have run.
func (s *stage) scheduled() (ran, waited time.Duration) {
	s.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.exporter.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, file := range files {
		raw, _ := os.ReadFile(file)
		var a, b time.Duration
		if _, err := fmt.Sscan(string(raw), &a, &b); err == nil {
			ran, waited = ran+a, waited+b
		}
	}
	return ran, waited
}

// idle starts another exporter with the same folders in mode dry_run, and returns its address.
func (e *endurance) idle() (url string) {
	e.t.Helper()
	raw, err := os.ReadFile(e.stage.config)
	if err != nil {
		e.t.Fatal(err)
	}
	text := strings.NewReplacer("mode: enforce", "mode: dry_run", "standalone: true", "standalone: false", "scan_interval: 1s", "scan_interval: 5m",
		e.dir+"/journal", e.dir+"/journal2").Replace(string(raw))
	e.write(e.dir+"/idle.yml", text, 0)
	_, url = e.launch(e.dir + "/idle.yml")
	return url
}

// TestAttackEndurance: the attacks on folders, files, logs and uploads together, as users of their own, with
// files that come and go and a service that leaks. No file is lost, the exporter's memory stays flat, and /metrics answers
// a caller with a token within 50 ms.
func TestAttackEndurance(t *testing.T) {
	e := &endurance{stage: newStage(t)}
	e.standalone = true
	whole := time.Until(e.until)
	e.folders()
	e.leak()
	// A host whose processors are all busy is not an attack on the exporter: it, and who asks it, come first.
	e.prefix = []string{"nice", "-n", "-10"}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		id, _ := strconv.Atoi(thread.Name())
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, id, -10); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
	e.serve(e.config.String())
	other := e.idle()
	e.prefix = []string{"nice", "-n", "10"}
	for _, play := range e.plays {
		e.attackers = append(e.attackers, e.attack(stageService, play[0], play[1:]...))
	}
	done := make(chan struct{})
	var own, others []time.Duration
	var scrapeErr error
	var early, earlyAnon int64
	var wg sync.WaitGroup
	wg.Go(func() { own, others, scrapeErr = e.scrapes(done, other) })
	wg.Go(func() {
		select {
		case <-time.After(whole / 3): // what it needs for good is there by then
			early, earlyAnon = e.resident("VmRSS"), e.resident("RssAnon")
		case <-done:
		}
	})
	removed := e.load()
	late, lateAnon := e.resident("VmRSS"), e.resident("RssAnon")
	close(done)
	wg.Wait()
	for _, a := range e.attackers {
		a.leave()
	}
	if scrapeErr != nil {
		e.harmed("a scrape: %v", scrapeErr)
	} else {
		e.inTime(own, others)
	}
	t.Logf("resident memory: %d KiB after a third of the time, %d of them not of files; %d KiB at the end, %d", early>>10, earlyAnon>>10, late>>10, lateAnon>>10)
	if late > early+early/5+4<<20 {
		e.harmed("resident memory has grown from %d to %d bytes", early, late)
	}
	e.cleaned(removed)
	e.anywhere(e.precious, e.dir+"/strict")
	e.readable(e.dir+"/logs", "the secret of root")
	e.report("endurance")
}
