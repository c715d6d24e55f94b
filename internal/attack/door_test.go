//go:build attack

package attack

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	doorToken = "sesame"
	doorLimit = 50 * time.Millisecond // for a scrape by a caller with the token
)

// door is an exporter that can be attacked over the network.
type door struct {
	t     *testing.T
	dir   string
	port  string
	until time.Time
	tries atomic.Int64
	harm  atomic.Int64
}

var doorListening = regexp.MustCompile(`msg="Listening on" address=\S+:([0-9]+)`)

// newDoor starts an exporter in mode enforce with a token on all addresses. more are lines of the
// configuration.
func newDoor(t *testing.T, more string) *door {
	t.Helper()
	limit, err := time.ParseDuration(cmp.Or(os.Getenv("ATTACK_TIME"), "5s"))
	if err != nil {
		t.Fatalf("ATTACK_TIME: %v", err)
	}
	binary, err := filepath.Abs(cmp.Or(os.Getenv("ATTACK_BINARY"), "../../spillway_exporter"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d := &door{t: t, dir: dir}
	config := more + `
mode: enforce
standalone: false
sample_interval: 1s
journal: {dir: ` + dir + `/journal}
targets:
  - name: app
    processes: {match: {comm: spillway_export}}
    temp_dirs: [{name: t, dir: ` + dir + `/t, include: ['*.tmp'], max_age: 1h, age_by: mtime, min_age: 1s}]
`
	err = errors.Join(os.Mkdir(dir+"/t", 0o755), os.WriteFile(dir+"/token", []byte(doorToken), 0o600),
		os.WriteFile(dir+"/due.yml", []byte(strings.ReplaceAll(config, "DIR", dir)), 0o600), d.due())
	if err != nil {
		t.Fatal(err)
	}
	listen := "0.0.0.0:0"
	if strings.Contains(more, "trust_loopback") || !strings.Contains(more, "token_file") {
		listen = "127.0.0.1:0"
	}
	log := &stageOutput{}
	cmd := exec.Command(binary, "--config.file="+dir+"/due.yml", "--web.listen-address="+listen)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	d.await("the exporter is ready", func() error {
		m := doorListening.FindStringSubmatch(log.String())
		if m == nil {
			return errors.New(log.String())
		}
		d.port = m[1]
		_, err := d.get("127.0.0.1", "/-/ready", "", "")
		return err
	})
	d.until = time.Now().Add(limit)
	return d
}

// due makes the file that an attacker would like to be removed.
func (d *door) due() error {
	path, old := d.dir+"/t/due.tmp", time.Now().Add(-2*time.Hour)
	return errors.Join(os.WriteFile(path, []byte("x"), 0o600), os.Chtimes(path, old, old))
}

// await polls until f succeeds.
func (d *door) await(what string, f func() error) {
	d.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("%s: %v", what, err)
		}
		<-tick.C
	}
}

func (d *door) lasts() bool { return time.Now().Before(d.until) }

// harmed counts harm and says the first ones.
func (d *door) harmed(format string, args ...any) {
	if d.harm.Add(1) <= 5 {
		d.t.Errorf(format, args...)
	}
}

// report logs the line that sums the attack up.
func (d *door) report(name string) {
	d.t.Helper()
	if _, err := os.Stat(d.dir + "/t/due.tmp"); err != nil {
		d.harmed("the file was removed: %v", err)
	}
	d.t.Logf("attack=%s tries=%d harm=%d", name, d.tries.Load(), d.harm.Load())
	if d.tries.Load() == 0 {
		d.t.Error("nothing was tried")
	}
}

// doorElsewhere returns an address of this machine that is not loopback: to the exporter it is another host.
func doorElsewhere(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no address but those of loopback")
	return ""
}

// request sends one request on a connection of its own and returns the code and the answer.
func (d *door) request(method, ip, path, host, token, body string, header ...string) (int, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+net.JoinHostPort(ip, d.port)+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Close = true
	r.Host = cmp.Or(host, r.Host)
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func (d *door) get(ip, path, host, token string) (string, error) {
	code, text, err := d.request(http.MethodGet, ip, path, host, token, "")
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%d %s", code, text)
	}
	return text, err
}

const doorWithToken = "webhook: {token_file: DIR/token}"

// doorAlert is a notification that requests nothing.
func doorAlert(instance string, n int) string {
	return fmt.Sprintf(`{"version":"4","groupKey":"g","status":"firing","receiver":"r","alerts":[{"status":"firing","labels":{"alertname":"A","instance":%q,"target":"app"},"annotations":{},"startsAt":"2026-01-01T00:00:00Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"%016x"}]}`, instance, n)
}

// TestAttackForgedScrapes: scrapes under forged names make no alert of another host ours, and push the
// real name out of nothing.
func TestAttackForgedScrapes(t *testing.T) {
	d := newDoor(t, doorWithToken)
	away := doorElsewhere(t)
	if _, err := d.get("127.0.0.1", "/metrics", "web-1:10042", doorToken); err != nil {
		t.Fatal(err)
	}
	for n := 1; d.lasts(); n++ {
		for i := range 40 {
			token := ""
			if i%2 == 0 {
				token = "a guess"
			}
			if _, err := d.get([]string{"127.0.0.1", away}[i%2], "/metrics", fmt.Sprintf("web-%d:10042", i+2), token); err != nil {
				t.Fatal(err)
			}
			d.tries.Add(1)
		}
		for instance, want := range map[string]string{"web-1:10042": "no_playbook", "web-2:10042": "not_ours", "web-41:10042": "not_ours"} {
			code, text, err := d.request(http.MethodPost, "127.0.0.1", "/api/v1/webhook", "", doorToken, doorAlert(instance, n))
			if err != nil || code != http.StatusOK || !strings.Contains(text, `"`+want+`"`) {
				d.harmed("an alert of %s: %d %s, %v, want %s", instance, code, text, err, want)
			}
		}
	}
	d.report("forged-scrapes")
}

// TestAttackPlainProxy: what comes through a proxy on this host, which adds no header, or any, starts nothing.
func TestAttackPlainProxy(t *testing.T) {
	d := newDoor(t, "trust_loopback: false")
	u, err := url.Parse("http://127.0.0.1:" + d.port)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }})
	defer proxy.Close()
	port := d.port
	through := proxy.URL[strings.LastIndex(proxy.URL, ":")+1:]
	bodies := map[string]string{
		"/api/v1/run":     `{"target":"app","action":"clean_temp","force":true}`,
		"/api/v1/webhook": strings.Replace(doorAlert("", 1), `"target":"app"`, `"target":"app","playbook":"clean_temp"`, 1),
		"/api/v1/pause":   `{}`,
		"/api/v1/resume":  `{}`,
		"/-/reload":       "",
	}
	headers := []string{"X-Nothing", "X-Real-IP", "X-Forwarded-For", "Forwarded", "Via", "Authorization", "X-Http-Method-Override", "Cookie"}
	for i := 0; d.lasts(); i++ {
		for _, d.port = range []string{port, through} {
			for path, body := range bodies {
				for _, host := range []string{"", "localhost", "127.0.0.1:" + port, "evil.example"} {
					code, text, err := d.request(http.MethodPost, "127.0.0.1", path, host, "", body, headers[i%len(headers)], "127.0.0.1")
					if d.tries.Add(1); err != nil || code != http.StatusForbidden {
						d.harmed("%s as %q with %s: %d %s, %v", path, host, headers[i%len(headers)], code, text, err)
					}
				}
			}
		}
	}
	d.port = port
	d.report("plain-proxy")
}

// hold keeps connections of an attacker, each opened again when it is closed.
func (d *door) hold(ctx context.Context, attackers *sync.WaitGroup, n int, ip, text string, read bool) {
	for range n {
		attackers.Go(func() {
			for ctx.Err() == nil {
				d.holdOne(ctx, ip, text, read)
				doorPause(ctx, time.Second)
			}
		})
	}
}

func doorPause(ctx context.Context, length time.Duration) {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (d *door) holdOne(ctx context.Context, ip, text string, read bool) {
	dialer := net.Dialer{Timeout: time.Second}
	c, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(ip, d.port))
	if err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	defer c.Close()
	if !read {
		c.(*net.TCPConn).SetReadBuffer(1024)
	}
	io.WriteString(c, strings.ReplaceAll(text, "HOST", net.JoinHostPort(ip, d.port)))
	d.tries.Add(1)
	if read {
		io.Copy(io.Discard, c)
		return
	}
	for ctx.Err() == nil { // what is not read is not seen to be closed: one more byte says it
		doorPause(ctx, time.Second)
		if _, err := c.Write([]byte("x")); err != nil {
			return
		}
	}
}

// doorCrowd is the ways in which a crowd holds connections.
var doorCrowd = []struct {
	name, text string
	read       bool
}{
	{"nothing-sent", "", true},
	{"half-a-header", "GET / HTTP/1.1\r\nHost: HOST\r\nX-Slow: ", false},
	{"idle", "GET /-/healthy HTTP/1.1\r\nHost: HOST\r\n\r\n", true},
	{"slow-body", "POST /metrics HTTP/1.1\r\nHost: HOST\r\nContent-Length: 100000\r\n\r\n", false},
	{"slow-reader", strings.Repeat("GET /metrics HTTP/1.1\r\nHost: HOST\r\nAccept-Encoding: identity\r\n\r\n", 50), false},
	{"streams", "GET /api/v1/watch HTTP/1.1\r\nHost: HOST\r\n\r\n", true},
}

// TestAttackCrowdHere: 600 connections of one client on this host, in any state, close neither the metrics nor
// the webhook nor the application's stream to those with the token.
func TestAttackCrowdHere(t *testing.T) { doorCrowds(t, "crowd-here", "127.0.0.1") }

// TestAttackCrowdElsewhere: nor do those of another host, and the application on this one needs no token.
func TestAttackCrowdElsewhere(t *testing.T) { doorCrowds(t, "crowd-elsewhere", doorElsewhere(t)) }

// doorCrowds has each crowd attack in turn, and reports on all.
func doorCrowds(t *testing.T, name, ip string) {
	var tries, harm int64
	for _, crowd := range doorCrowd {
		t.Run(crowd.name, func(t *testing.T) {
			d, alone := newDoor(t, doorWithToken), newDoor(t, doorWithToken)
			d.until = time.Now().Add(time.Until(d.until) / time.Duration(len(doorCrowd)))
			d.crowd(ip, alone, crowd.text, crowd.read)
			tries, harm = tries+d.tries.Load(), harm+d.harm.Load()
		})
	}
	t.Logf("attack=%s tries=%d harm=%d", name, tries, harm)
	if tries == 0 {
		t.Error("nothing was tried")
	}
}

// crowd is one attack of a crowd.
func (d *door) crowd(ip string, alone *door, text string, read bool) {
	var attackers sync.WaitGroup
	ctx, cancel := context.WithCancel(d.t.Context())
	d.hold(ctx, &attackers, 600, ip, text, read)
	d.await("the crowd is there", func() error {
		if n := d.tries.Load(); n < 500 {
			return fmt.Errorf("%d connections", n)
		}
		return nil
	})
	took, quiet := d.visit(ip, alone)
	cancel()
	attackers.Wait()
	slices.Sort(took)
	slices.Sort(quiet)
	d.t.Logf("%d scrapes, the median took %s, the slowest %s; of an exporter alone %s and %s", len(took), took[len(took)/2], took[len(took)-1], quiet[len(quiet)/2], quiet[len(quiet)-1])
	// The machine may have other work: what is not attacked is then as slow.
	if slow, fair := took[len(took)/2], quiet[len(quiet)/2]; slow > doorLimit && slow > 2*fair {
		d.harmed("every second scrape took longer than %s", slow)
	}
	if _, err := os.Stat(d.dir + "/t/due.tmp"); err != nil {
		d.harmed("the file was removed: %v", err)
	}
}

// visit uses the exporter with the token while it is attacked, and returns how long each scrape took, and
// each of an exporter that is not attacked.
func (d *door) visit(ip string, alone *door) (took, quiet []time.Duration) {
	for n := 1; d.lasts() || n <= 20; n++ {
		for _, scraped := range []*door{d, alone} {
			begin := time.Now()
			if _, err := scraped.get("127.0.0.1", "/metrics", "", doorToken); err != nil {
				scraped.harmed("a scrape: %v", err)
			}
			if scraped == d {
				took = append(took, time.Since(begin))
			} else {
				quiet = append(quiet, time.Since(begin))
			}
		}
		if err := d.notify(ip, n); err != nil {
			d.harmed("the webhook: %v", err)
		}
		if err := d.streams(doorToken); err != nil {
			d.harmed("the application's stream with the token: %v", err)
		}
		if ip != "127.0.0.1" {
			if err := d.streams(""); err != nil {
				d.harmed("the application's stream on this host: %v", err)
			}
		}
	}
	return took, quiet
}

// notify sends a notification, and once more each second when the connection breaks, as Alertmanager does
// until the next one is due. The crowd is on the same host, whose connections are closed for each other
// before it is known which of them has the token; it does not push out all of several.
func (d *door) notify(ip string, n int) error {
	const tries = 5
	for try := 1; ; try++ {
		code, text, err := d.request(http.MethodPost, ip, "/api/v1/webhook", "", doorToken, doorAlert("", n))
		switch {
		case err == nil && code == http.StatusOK:
			return nil
		case err == nil:
			return fmt.Errorf("%d %s", code, text)
		case ip == "127.0.0.1" || try == tries:
			return err
		}
		doorPause(d.t.Context(), time.Second)
	}
}

// streams opens a stream of the application and wants its first line.
func (d *door) streams(token string) error {
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+d.port, time.Second)
	if err != nil {
		return err
	}
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if token != "" {
		token = "Authorization: Bearer " + token + "\r\n"
	}
	fmt.Fprintf(c, "GET /api/v1/watch HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n", token)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		c.Close()
		return err
	}
	defer resp.Body.Close() // which reads to the end: the connection is closed first
	defer c.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	_, err = bufio.NewReader(resp.Body).ReadString('\n')
	return err
}
