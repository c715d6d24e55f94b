//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const restartedID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// restartBench is an engine with one container, and the endpoints of the service in it.
type restartBench struct {
	mu       sync.Mutex
	starts   int
	hangs    string // the phase in which nothing is answered: drain, engine, stop, probe
	reached  map[string]int
	released chan struct{}
}

func (b *restartBench) enter(phase string) (hangs bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reached[phase]++
	return b.hangs == phase
}

func (b *restartBench) count(phase string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reached[phase]
}

func (b *restartBench) set(phase string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hangs = phase
}

func (b *restartBench) engine() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containers/web/json", func(w http.ResponseWriter, _ *http.Request) { b.inspect(w) })
	mux.HandleFunc("GET /containers/"+restartedID+"/json", func(w http.ResponseWriter, _ *http.Request) { b.inspect(w) })
	mux.HandleFunc("POST /containers/"+restartedID+"/restart", func(w http.ResponseWriter, _ *http.Request) {
		hangs, stops := b.enter("engine"), b.enter("stop")
		if !stops { // else the old start runs on, as long as the service takes to stop
			b.mu.Lock()
			b.starts++
			b.mu.Unlock()
		}
		if hangs || stops {
			<-b.released
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func (b *restartBench) inspect(w http.ResponseWriter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintf(w, `{"Id": %q, "State": {"Status": "running", "Running": true, "StartedAt": "2026-01-01T00:00:%02dZ"}}`, restartedID, b.starts)
}

func (b *restartBench) service() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /drain", func(http.ResponseWriter, *http.Request) {
		if b.enter("drain") {
			<-b.released
		}
	})
	mux.HandleFunc("POST /undrain", func(http.ResponseWriter, *http.Request) { b.enter("undrain") })
	mux.HandleFunc("GET /idle", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		if b.enter("probe") {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	return mux
}

func serveOn(t *testing.T, network, address string, h http.Handler) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return l.Addr().String()
}

// TestRestartKilled kills the exporter in each phase of a restart. The next process, which is asked for the same
// again, never restarts the service a second time.
func TestRestartKilled(t *testing.T) {
	t.Parallel() // it waits more than it works
	began := time.Now()
	service := start(t, nil, need(t, "sleep"), "900")
	eventually(t, 3*time.Minute, "what it holds is no longer a reading right after its start", func() error {
		if age := time.Since(began); age < 125*time.Second {
			return fmt.Errorf("it is %s old", age)
		}
		return nil
	})
	for _, phase := range []string{"drain", "engine", "stop", "probe"} {
		t.Run(phase, func(t *testing.T) { killedIn(t, phase, service.cmd.Process.Pid) })
	}
}

func killedIn(t *testing.T, phase string, pid int) {
	dir := testDir(t)
	b := &restartBench{reached: make(map[string]int), released: make(chan struct{})}
	t.Cleanup(func() { close(b.released) })
	socket, pidfile := filepath.Join(dir, "engine.sock"), filepath.Join(dir, "pid")
	serveOn(t, "unix", socket, b.engine())
	url := "http://" + serveOn(t, "tcp", "127.0.0.1:0", b.service())
	if err := os.WriteFile(pidfile, fmt.Appendln(nil, pid), 0o600); err != nil {
		t.Fatal(err)
	}
	config := `
mode: enforce
trust_loopback: true
standalone: false
reflex: false
sample_interval: 1s
targets:
  - name: svc
    processes: {match: {pidfile: ` + pidfile + `, user: '` + fmt.Sprint(os.Getuid()) + `'}}
    memory: {limit: 1MiB}
    probe: {url: '` + url + `/health', interval: 1s}
    playbooks:
      last: [{do: restart, via: docker, container: web, socket: ` + socket + `, when: [emergency], drain: {post: '` + url + `/drain', idle: '` + url + `/idle', undo: '` + url + `/undrain'}, ready: 30s}]
`
	e := startExporter(t, dir, config)
	b.set(phase)
	askRestart(t, e)
	before := b.count("probe")
	eventually(t, 30*time.Second, "the phase is reached", func() error {
		if b.count(phase) == 0 || phase == "probe" && (b.count("engine") == 0 || b.count("probe") < before+2) {
			return fmt.Errorf("%d times in %s", b.count(phase), phase)
		}
		return nil
	})
	e.kill()
	b.set("")
	asked := b.count("engine")
	e = startExporter(t, dir, config)
	if phase == "drain" {
		takesWorkAgain(t, e, b)
	}
	askRestart(t, e)
	eventually(t, time.Minute, "the second run has ended", func() error {
		all, err := e.journal()
		if n := len(runs(all, "last")); err == nil && n != 2 {
			err = fmt.Errorf("%d runs have ended", n)
		}
		return err
	})
	if n := b.count("undrain"); n != 0 && phase != "drain" {
		t.Errorf("a service that was restarted was asked %d times to take work again", n)
	}
	if n := b.count("engine"); n != 1 {
		t.Errorf("%d restarts after a kill in phase %s, %d of them before it; want 1\n%s", n, phase, asked, e.out.String())
	}
}

// takesWorkAgain waits until the service that the killed process has drained is asked to take work again, once and in the
// journal.
func takesWorkAgain(t *testing.T, e *exporter, b *restartBench) {
	t.Helper()
	eventually(t, 30*time.Second, "it takes work again", func() error {
		all, err := e.journal()
		if err != nil {
			return err
		}
		for _, r := range all {
			if r.Action == "undo_drain" && r.Outcome == "done" && b.count("undrain") == 1 {
				return nil
			}
		}
		return fmt.Errorf("%d requests for it, records %+v", b.count("undrain"), all)
	})
	all, err := e.journal()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Action == "restart" && (r.Outcome != "unknown" || !strings.Contains(r.Error, "may still be drained")) {
			t.Errorf("the record of the step: %+v", r)
		}
	}
}

// askRestart requests a run of the playbook as soon as the target is at its level.
func askRestart(t *testing.T, e *exporter) {
	t.Helper()
	eventually(t, 30*time.Second, "the level is emergency", func() error {
		m, err := e.scrape()
		if err != nil {
			return err
		}
		if level, ok := m.sum("spillway_memory_level", "target=svc"); !ok || level != 3 {
			return fmt.Errorf("level %v", level)
		}
		return nil
	})
	if status, answer := post(t, e.url+"/api/v1/run", "application/json", "", `{"target":"svc","playbook":"last"}`); status != http.StatusOK {
		t.Fatalf("run: %d %s", status, answer)
	}
}
