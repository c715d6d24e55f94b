//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// hogSource holds memory from SIGUSR2 until SIGUSR1.
const hogSource = `
import signal
held = b''
def hold(*_):
    global held
    held = b'x' * (60 << 20)
def free(*_):
    global held
    held = b''
signal.signal(signal.SIGUSR1, free)
signal.signal(signal.SIGUSR2, hold)
print('ready', flush=True)
while True:
    signal.pause()
`

// note is an alert that a receiver got.
type note struct {
	Status string            `json:"status"`
	Labels map[string]string `json:"labels"`
}

func (n note) String() string {
	text := n.Labels["alertname"]
	if reason := n.Labels["reason"]; reason != "" {
		text += " " + reason
	}
	return text + " " + n.Labels["severity"]
}

// switchboard stands between the Alertmanagers and those who are called: it notes every alert by Alertmanager and receiver,
// passes on what is for Spillway, and is the service that the playbooks call.
type switchboard struct {
	*httptest.Server
	mu   sync.Mutex
	to   string                       // the exporter
	got  map[string]map[string][]note // by "old/people"; by target
	hogs map[string]*process          // by target
}

func newSwitchboard(t *testing.T) *switchboard {
	t.Helper()
	s := &switchboard{got: make(map[string]map[string][]note), hogs: make(map[string]*process)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{am}/{receiver}", s.note)
	mux.HandleFunc("POST /{am}/api/v1/webhook", s.note)
	mux.HandleFunc("POST /service/{target}/relieve", s.relieve)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *switchboard) note(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var message struct {
		Alerts []note `json:"alerts"`
	}
	if err == nil {
		err = json.Unmarshal(body, &message)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	receiver := r.PathValue("receiver")
	to := ""
	s.mu.Lock()
	if receiver == "" {
		receiver, to = "spillway", s.to
	}
	key := r.PathValue("am") + "/" + receiver
	if s.got[key] == nil {
		s.got[key] = make(map[string][]note)
	}
	for _, n := range message.Alerts {
		s.got[key][n.Labels["target"]] = append(s.got[key][n.Labels["target"]], n)
	}
	s.mu.Unlock()
	if to == "" {
		return
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, to+"/api/v1/webhook", bytes.NewReader(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	req.Header = r.Header.Clone()
	resp, err := client.Do(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	w.WriteHeader(resp.StatusCode)
}

// relieve is what the service does when the playbook asks it: after two seconds it frees its memory, but for one.
func (s *switchboard) relieve(w http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-time.After(2 * time.Second):
	}
	if target := r.PathValue("target"); target != "stubborn" {
		s.signal(target, syscall.SIGUSR1)
	}
}

func (s *switchboard) signal(target string, sig syscall.Signal) {
	s.mu.Lock()
	p := s.hogs[target]
	s.mu.Unlock()
	p.cmd.Process.Signal(sig)
}

// firing returns what a receiver has got about a target, each alert once, sorted.
func (s *switchboard) firing(am, receiver, target string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := make(map[string]bool)
	for _, n := range s.got[am+"/"+receiver][target] {
		if n.Status == "firing" {
			seen[n.String()] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// shippedRoutes is a shipped Alertmanager configuration with the addresses of the test, receivers that note what they get,
// and short pauses. Nothing else is changed.
func shippedRoutes(t *testing.T, name, am, instance, tokenFile string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../../rules", name))
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	swap := func(from, to string) {
		if !strings.Contains(text, from) {
			t.Fatalf("%s has no %q", name, from)
		}
		text = strings.ReplaceAll(text, from, to)
	}
	if am == "old" {
		swap("host1:10042", instance)
	}
	swap("/api/v1/webhook", "/"+am+"/api/v1/webhook")
	swap("/etc/alertmanager/spillway.token", tokenFile)
	swap("  group_by: [instance, target]\n", "  group_by: [instance, target]\n  group_wait: 0s\n  group_interval: 1s\n  repeat_interval: 1h\n")
	for _, receiver := range []string{"people", "quiet"} {
		swap("- name: "+receiver+"\n", fmt.Sprintf("- name: %s\n    webhook_configs: [{url: 'http://%s/%s/%[1]s'}]\n", receiver, instance, am))
	}
	return text
}

// startWith starts an Alertmanager with a configuration.
func startWith(t *testing.T, program, config string) *server {
	t.Helper()
	dir, port := testDir(t), freePort(t)
	writeFile(t, filepath.Join(dir, "alertmanager.yml"), config)
	s := &server{url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	s.process = start(t, nil, program, "--config.file="+filepath.Join(dir, "alertmanager.yml"), "--storage.path="+filepath.Join(dir, "data"),
		fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port), "--cluster.listen-address=")
	eventually(t, startLimit, "Alertmanager is ready", func() error {
		_, err := get(s.url + "/-/ready")
		return err
	})
	return s
}

// TestPeopleHearOnlyOfWhatFailed: memory of six services reaches its limit. With the shipped rules and the shipped routes,
// in Alertmanager 0.25 and 0.31, people hear nothing of the one that is relieved, and one alert of each that is
// not: its run was ineffective, its budget is used up, or nothing may act. Spillway hears of every one.
func TestPeopleHearOnlyOfWhatFailed(t *testing.T) {
	t.Parallel() // it waits more than it works
	dir := testDir(t)
	tokenFile, secret := token(t, dir)
	board := newSwitchboard(t)
	instance := strings.TrimPrefix(board.URL, "http://")
	managers := map[string]*server{
		"old": startWith(t, need(t, "prometheus-alertmanager"), shippedRoutes(t, "alertmanager-before-0.31.yml", "old", instance, tokenFile)),
		"new": startWith(t, alertmanager31(t), shippedRoutes(t, "alertmanager.yml", "new", instance, tokenFile)),
	}
	people := map[string][]string{ // by target
		"relieved": nil,
		"stubborn": {"SpillwayReliefIneffective critical"},
		"spent":    {"SpillwayNeedsHuman budget critical"},
		"dry":      {"SpillwayNeedsHuman dry_run critical"},
		"paused":   {"SpillwayNeedsHuman paused critical"},
		"bare":     {"SpillwayNeedsHuman no_playbook critical"},
	}
	config := fmt.Sprintf("instance: %s\nmode: enforce\nsample_interval: 1s\nevaluation_interval: 1s\nwebhook: {token_file: %s}\nalertmanager: {push: [%s, %s]}\ntargets:\n",
		instance, tokenFile, managers["old"].url, managers["new"].url)
	for target := range people {
		hog := start(t, nil, need(t, "python3"), "-c", hogSource, "hog-"+filepath.Base(filepath.Dir(dir))+"-"+target)
		board.hogs[target] = hog
		playbook := fmt.Sprintf("[{do: http, url: '%s/service/%s/relieve', cooldown: 1s, timeout: 10s, verify: {after: 2}}]", board.URL, target)
		more := ""
		switch target {
		case "spent":
			more = ", guards: {relieve_memory: {budget: {at_most: 1, per: 24h}}}"
		case "dry":
			more = ", mode: dry_run"
		case "bare":
			playbook = "[]"
		}
		config += fmt.Sprintf("  - {name: %[1]s, processes: {match: {cmdline: 'hog-%[2]s-%[1]s'}}, memory: {limit: 64MiB}, playbooks: {relieve_memory: %[3]s}%[4]s}\n",
			target, filepath.Base(filepath.Dir(dir)), playbook, more)
		eventually(t, startLimit, "the service is ready", func() error {
			if !strings.Contains(hog.out.String(), "ready") {
				return fmt.Errorf("it says %q", hog.out.String())
			}
			return nil
		})
	}
	e := startExporter(t, dir, config)
	board.mu.Lock()
	board.to = e.url
	board.mu.Unlock()
	if code, answer := post(t, e.url+"/api/v1/pause", "application/json", secret, `{"target": "paused"}`); code != http.StatusOK {
		t.Fatalf("pause: %d: %s", code, answer)
	}
	for target := range people {
		board.signal(target, syscall.SIGUSR2)
	}
	// The one run that its budget allows helps; then the memory is full again.
	outcome := func(target, want string) {
		t.Helper()
		eventually(t, time.Minute, target+": a run ends "+want, func() error {
			m, err := e.scrape()
			if n, _ := m.sum("spillway_playbook_runs_total", "target="+target, "outcome="+want); err == nil && n == 0 {
				err = fmt.Errorf("none yet")
			}
			return err
		})
	}
	outcome("spent", "relieved")
	if got := append(board.firing("old", "people", "spent"), board.firing("new", "people", "spent")...); got != nil {
		t.Errorf("spent: people heard %q although the run helped", got)
	}
	board.signal("spent", syscall.SIGUSR2)
	outcome("relieved", "relieved")
	outcome("stubborn", "ineffective")
	board.check(t, people)
	// Nothing else comes later: twice the time of the shipped `for`.
	calm := time.Now()
	eventually(t, 2*time.Minute, "it stays like that", func() error {
		if left := 90*time.Second - time.Since(calm); left > 0 {
			return fmt.Errorf("%s are left", left)
		}
		return nil
	})
	board.check(t, people)
}

// check fails the test unless each receiver has got what it should, within three minutes.
func (s *switchboard) check(t *testing.T, people map[string][]string) {
	t.Helper()
	for _, am := range []string{"old", "new"} {
		for target, want := range people {
			var got []string
			eventually(t, 3*time.Minute, am+": people hear of "+target, func() error {
				if got = s.firing(am, "people", target); len(got) < len(want) {
					return fmt.Errorf("heard %q", got)
				}
				return nil
			})
			if !slices.Equal(got, want) {
				t.Errorf("Alertmanager %s, target %s: people heard %q, want %q", am, target, got, want)
			}
			got = s.firing(am, "spillway", target)
			if want := "SpillwayMemoryEmergency critical"; !slices.Contains(got, want) {
				t.Errorf("Alertmanager %s, target %s: Spillway heard %q, want %q too", am, target, got, want)
			}
			ran := slices.Contains(s.firing(am, "quiet", target), "SpillwayReliefRunning info")
			if want := target == "relieved" || target == "stubborn" || target == "spent"; ran != want {
				t.Errorf("Alertmanager %s, target %s: a run was reported: %v, want %v", am, target, ran, want)
			}
		}
	}
}
