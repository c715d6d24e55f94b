//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// cutFor is how long one host is cut off.
const cutFor = 2 * time.Minute

// alertmanager31 returns the Alertmanager that renders the URL of a webhook.
func alertmanager31(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cache, "spillway_exporter", "alertmanager-0.31.0")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run .ci/install e2e", err)
	}
	return path
}

// link is the network between a host and the others: it can be cut.
type link struct {
	addr, to string
	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
}

func newLink(t *testing.T, ip, to string) *link {
	t.Helper()
	l := &link{addr: ip + ":0", to: to, conns: make(map[net.Conn]bool)}
	l.join(t)
	l.addr = l.listener.Addr().String()
	t.Cleanup(l.cut)
	return l
}

// join opens the link.
func (l *link) join(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	l.listener = listener
	l.mu.Unlock()
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			go l.carry(in)
		}
	}()
}

func (l *link) carry(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer out.Close()
	l.mu.Lock()
	l.conns[in], l.conns[out] = true, true
	l.mu.Unlock()
	go io.Copy(out, in)
	io.Copy(in, out)
	l.mu.Lock()
	delete(l.conns, in)
	delete(l.conns, out)
	l.mu.Unlock()
}

// cut closes the link and what goes through it.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listener.Close()
	for c := range l.conns {
		c.Close()
	}
}

// host is one exporter of the fleet.
type host struct {
	*exporter
	instance string // as Prometheus scrapes it
	tts      string
	n        int
}

func startHost(t *testing.T, listen, tokenFile, extra string) *host {
	t.Helper()
	dir := testDir(t)
	h := &host{tts: filepath.Join(dir, "tts")}
	writeFiles(t, h.tts, "first-%d.wav", 2, 10, 2*time.Hour)
	h.exporter = startExporterAt(t, listen, dir, `
mode: enforce
standalone: false
sample_interval: 1s
scan_interval: 1s
webhook: {token_file: `+tokenFile+`}
`+extra+`
targets:
  - name: svc
    temp_dirs: [{name: tts, dir: `+h.tts+`, include: ['*.wav'], max_files: 5, age_by: mtime, min_age: 1s}]
    playbooks: {clean_temp: [{do: clean_temp, cooldown: 5s}]}
`)
	h.instance = h.addr
	return h
}

// pile makes the host's alert fire.
func (h *host) pile(t *testing.T) {
	t.Helper()
	h.n++
	writeFiles(t, h.tts, fmt.Sprintf("pile%d-%%d.wav", h.n), 20, 10, 2*time.Hour)
}

// ran returns the runs that removed something, with who asked.
func (h *host) ran() ([]record, error) {
	records, err := h.journal()
	return runs(records, "clean_temp"), err
}

func (h *host) hasRun(t *testing.T, want int, limit time.Duration, trigger string) {
	t.Helper()
	eventually(t, limit, fmt.Sprintf("%s has run %d times", h.instance, want), func() error {
		got, err := h.ran()
		if err != nil {
			return err
		}
		if len(got) != want {
			return fmt.Errorf("%d runs: %+v", len(got), got)
		}
		if got[0].Trigger != trigger || got[0].Files == 0 || got[0].Outcome != "relieved" {
			return fmt.Errorf("the last is %+v", got[0])
		}
		return nil
	})
	if n := countFiles(t, h.tts); n > 5 {
		t.Errorf("%s: %d files are left", h.instance, n)
	}
}

// startCluster starts two Alertmanagers 0.31 that know each other, with the receiver that export
// writes. Only the token's path and the pauses are other ones.
func startCluster(t *testing.T, tokenFile string) []*server {
	t.Helper()
	text, err := os.ReadFile("../../rules/alertmanager.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer(
		"/etc/alertmanager/spillway.token", tokenFile, "group_interval: 15s", "group_interval: 2s", "repeat_interval: 5m", "repeat_interval: 1h",
	).Replace(string(text))
	dir := testDir(t)
	writeFile(t, filepath.Join(dir, "alertmanager.yml"), config)
	gossip := []int{freePort(t), freePort(t)}
	var out []*server
	for i := range 2 {
		port := freePort(t)
		s := &server{url: fmt.Sprintf("http://127.0.0.1:%d", port)}
		s.process = start(t, nil, alertmanager31(t), "--config.file="+filepath.Join(dir, "alertmanager.yml"),
			"--storage.path="+filepath.Join(dir, fmt.Sprint("data", i)), fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port),
			fmt.Sprintf("--cluster.listen-address=127.0.0.1:%d", gossip[i]), fmt.Sprintf("--cluster.peer=127.0.0.1:%d", gossip[1-i]),
			"--cluster.peer-timeout=2s", "--cluster.settle-timeout=5s")
		out = append(out, s)
	}
	for _, s := range out {
		eventually(t, startLimit, "the cluster is ready", func() error {
			var status struct {
				Cluster struct {
					Status string
					Peers  []struct{ Name string }
				}
			}
			if err := getJSON(s.url+"/api/v2/status", &status); err != nil {
				return err
			}
			if status.Cluster.Status != "ready" || len(status.Cluster.Peers) != 2 {
				return fmt.Errorf("status %q with %d peers", status.Cluster.Status, len(status.Cluster.Peers))
			}
			return nil
		})
	}
	return out
}

// startFleetPrometheus scrapes every instance and sends to all Alertmanagers.
func startFleetPrometheus(t *testing.T, instances []string, managers []*server) *server {
	t.Helper()
	rules, err := filepath.Abs("../../rules/spillway.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for _, am := range managers {
		addresses = append(addresses, "'"+strings.TrimPrefix(am.url, "http://")+"'")
	}
	dir := testDir(t)
	writeFile(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%s]
alerting: {alertmanagers: [{static_configs: [{targets: [%s]}]}]}
scrape_configs: [{job_name: spillway, static_configs: [{targets: ['%s']}]}]
`, rules, strings.Join(addresses, ", "), strings.Join(instances, "', '")))
	port := freePort(t)
	s := &server{url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	s.process = start(t, nil, need(t, "prometheus"), "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port))
	eventually(t, startLimit, "Prometheus is ready", func() error {
		_, err := get(s.url + "/-/ready")
		return err
	})
	return s
}

// TestFleet: three hosts, one Prometheus, two clustered Alertmanagers and one receiver with a
// rendered URL. Each alert reaches its own host, once; one Alertmanager is killed; one host is cut
// off and gets its alert afterwards; nothing runs twice.
func TestFleet(t *testing.T) {
	t.Parallel() // it waits more than it works
	tokenFile, _ := token(t, testDir(t))
	one := startHost(t, "127.0.0.11:0", tokenFile, "")
	two := startHost(t, "127.0.0.12:0", tokenFile, "")
	three := startHost(t, "127.0.0.1:0", tokenFile, "")
	way := newLink(t, "127.0.0.13", three.addr)
	three.instance = way.addr
	hosts := []*host{one, two, three}
	managers := startCluster(t, tokenFile)
	startFleetPrometheus(t, []string{one.instance, two.instance, three.instance}, managers)

	one.pile(t)
	one.hasRun(t, 1, time.Minute, "webhook")
	two.pile(t)
	two.hasRun(t, 1, time.Minute, "webhook")

	// Cut off. What piles up there meanwhile is no one else's business.
	way.cut()
	three.pile(t)
	cut := time.Now()
	eventually(t, cutFor+5*time.Second, "the host has been cut off for long", func() error {
		if left := cutFor - time.Since(cut); left > 0 {
			return fmt.Errorf("%s are left", left)
		}
		return nil
	})
	if got, err := three.ran(); err != nil || len(got) != 0 {
		t.Fatalf("it ran while it was cut off: %+v, %v", got, err)
	}
	way.join(t)
	three.hasRun(t, 1, time.Minute, "webhook")

	// One Alertmanager is killed: the other one goes on.
	managers[0].kill()
	two.pile(t)
	two.hasRun(t, 2, time.Minute, "webhook")
	one.pile(t)
	one.hasRun(t, 2, time.Minute, "webhook")

	// Nothing runs twice, also not later: every run has removed something, and no alert came to
	// another host.
	quiet := time.Now()
	eventually(t, 15*time.Second, "it is quiet", func() error {
		if time.Since(quiet) < 8*time.Second {
			return fmt.Errorf("not long enough")
		}
		return nil
	})
	for i, want := range []int{2, 2, 1} {
		got, err := hosts[i].ran()
		if err != nil || len(got) != want {
			t.Errorf("host %d: %d runs, want %d: %+v, %v", i, len(got), want, got, err)
		}
		m, err := hosts[i].scrape()
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := m.sum("spillway_webhook_alerts_total", "disposition=not_ours"); n != 0 {
			t.Errorf("host %d: %v alerts of others", i, n)
		}
	}
}

// TestPull: a host that no one can call asks both members of the cluster, and runs once.
func TestPull(t *testing.T) {
	tokenFile, _ := token(t, testDir(t))
	another, _ := token(t, testDir(t))
	managers := startCluster(t, another) // its receiver is refused by the host
	port := freePort(t)
	instance := fmt.Sprintf("127.0.0.14:%d", port)
	h := startHost(t, instance, tokenFile, fmt.Sprintf("instance: %s\nalertmanager: {pull: ['%s', '%s'], interval: 5s}", instance, managers[0].url, managers[1].url))
	for _, am := range managers {
		alerts := fmt.Sprintf(`[{"labels":{"alertname":"Piled","instance":%q,"target":"svc","playbook":"clean_temp"}}, {"labels":{"alertname":"Piled","instance":"127.0.0.15:1","target":"svc","playbook":"clean_temp"}}]`, instance)
		if status, answer := post(t, am.url+"/api/v2/alerts", "application/json", "", alerts); status != 200 {
			t.Fatalf("%d %s", status, answer)
		}
	}
	h.pile(t)
	h.hasRun(t, 1, 30*time.Second, "pull")
	managers[0].kill()
	eventually(t, 30*time.Second, "it knows that one is down", func() error {
		m, err := h.scrape()
		if err != nil {
			return err
		}
		down, _ := m.sum("spillway_alertmanager_up", "address="+managers[0].url)
		up, _ := m.sum("spillway_alertmanager_up", "address="+managers[1].url)
		if down != 0 || up != 1 {
			return fmt.Errorf("up: %v and %v", down, up)
		}
		return nil
	})
	m, err := h.scrape()
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := m.sum("spillway_alertmanager_alerts"); n != 1 {
		t.Errorf("%v alerts fire for this host, want 1", n)
	}
	if n, _ := m.sum("spillway_webhook_alerts_total", "disposition=accepted"); n != 0 {
		t.Errorf("%v came through the webhook", n)
	}
}
