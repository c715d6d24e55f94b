package pull

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// taker is a fake Alertmanager that takes alerts.
type taker struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	got    [][]pushedAlert
	paths  []string
	auth   []string
}

func newTaker(t *testing.T) *taker {
	t.Helper()
	m := &taker{status: http.StatusOK}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

func (m *taker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.paths = append(m.paths, r.Method+" "+r.URL.Path+" "+r.Header.Get("Content-Type"))
	m.auth = append(m.auth, r.Header.Get("Authorization"))
	if m.status != http.StatusOK {
		w.WriteHeader(m.status)
		io.WriteString(w, "not\nnow")
		return
	}
	var alerts []pushedAlert
	if err := json.Unmarshal(body, &alerts); err != nil || alerts == nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	m.got = append(m.got, alerts)
}

func (m *taker) set(status int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status = status
}

// taken returns what came since the last call, "name state" for each alert.
func (m *taker) taken(now time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]string, 0, len(m.got))
	for _, batch := range m.got {
		names := make([]string, 0, len(batch))
		for _, a := range batch {
			state := "resolved"
			if a.EndsAt.After(now) {
				state = "firing"
			}
			names = append(names, a.Labels["alertname"]+" "+state)
		}
		out = append(out, "["+strings.Join(names, ", ")+"]")
	}
	m.got = nil
	return strings.Join(out, " ")
}

// pushing is a Pusher with a clock that the test moves.
type pushing struct {
	*Pusher
	now time.Time
	log bytes.Buffer
}

func newPushing(t *testing.T, c Config, takers ...*taker) *pushing {
	t.Helper()
	for _, m := range takers {
		c.Push = append(c.Push, m.URL)
	}
	if mistakes := validate(&c, ""); len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	p := &pushing{now: began}
	var err error
	p.Pusher, err = NewPusher(PushOptions{
		Config: c, Logger: slog.New(slog.NewTextHandler(&p.log, nil)), Now: func() time.Time { return p.now }, Jitter: func() float64 { return 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, s := range p.sinks {
			s.client.close()
		}
	})
	return p
}

// send moves the clock, has every sink send, and returns when each has something to do again.
func (p *pushing) send(t *testing.T, after time.Duration) []time.Duration {
	t.Helper()
	p.now = p.now.Add(after)
	out := make([]time.Duration, 0, len(p.sinks))
	for _, s := range p.sinks {
		out = append(out, s.send(t.Context()))
	}
	return out
}

func firing(name string) alert.Alert {
	return alert.Alert{
		Status: alert.StatusFiring, Fingerprint: name, StartsAt: began.Add(-time.Minute), GeneratorURL: "http://host1:10042/",
		Labels: map[string]string{"alertname": name, "instance": "host1:10042", "playbook": ""}, Annotations: map[string]string{"summary": name},
	}
}

func resolved(name string, at time.Time) alert.Alert {
	a := firing(name)
	a.Status, a.EndsAt = alert.StatusResolved, at
	return a
}

func (p *pushing) count(m *taker, outcome string) float64 {
	return testutil.ToFloat64(p.opts.Metrics.pushed.WithLabelValues(m.URL, outcome))
}

// TestPushForm: path, type, and all that Alertmanager shows; a label without a value is none.
func TestPushForm(t *testing.T) {
	m := newTaker(t)
	p := newPushing(t, Config{}, m)
	p.Offer([]alert.Alert{firing("A"), resolved("B", began.Add(-time.Second))})
	if wait := p.send(t, 0); wait[0] != pushIdle {
		t.Errorf("sends again in %v", wait)
	}
	if want := "POST /api/v2/alerts application/json"; m.paths[0] != want {
		t.Errorf("%q, want %q", m.paths[0], want)
	}
	a, b := m.got[0][0], m.got[0][1]
	if !a.StartsAt.Equal(began.Add(-time.Minute)) || !a.EndsAt.Equal(began.Add(pushLasts)) || a.GeneratorURL != "http://host1:10042/" || a.Annotations["summary"] != "A" {
		t.Errorf("%+v", a)
	}
	if _, empty := a.Labels["playbook"]; empty || len(a.Labels) != 2 {
		t.Errorf("labels %v", a.Labels)
	}
	if !b.EndsAt.Equal(began.Add(-time.Second)) {
		t.Errorf("B ends at %s", b.EndsAt)
	}
	if n := p.count(m, outcomeSent); n != 2 {
		t.Errorf("%v sent", n)
	}
}

// TestPushOneIsDown: one Alertmanager that does not take alerts holds up no other, gets the newest
// state of each alert when it does, and none that has ended by itself meanwhile.
func TestPushOneIsDown(t *testing.T) {
	up, down := newTaker(t), newTaker(t)
	down.set(http.StatusServiceUnavailable)
	p := newPushing(t, Config{}, up, down)
	p.Offer([]alert.Alert{firing("A"), firing("B"), firing("C")})
	wait := p.send(t, 0)
	if got := up.taken(p.now); got != "[A firing, B firing, C firing]" || wait[1] != pushBackoff {
		t.Errorf("took %q, the other is tried in %s", got, wait[1])
	}
	p.now = p.now.Add(3 * time.Minute)
	p.Offer([]alert.Alert{firing("A"), resolved("B", p.now)})
	p.send(t, 0)
	if got := up.taken(p.now); got != "[A firing, B resolved]" {
		t.Errorf("took %q", got)
	}
	down.set(http.StatusOK)
	p.send(t, 2*time.Minute)
	if got := down.taken(p.now); got != "[A firing, B resolved]" {
		t.Errorf("took %q after it was down, and C has ended by itself", got)
	}
	if f, d := p.count(down, outcomeFailed), p.count(down, outcomeDropped); f != 6 || d != 1 {
		t.Errorf("%v failed, %v dropped", f, d)
	}
	text := p.log.String()
	if strings.Count(text, "cannot be sent") != 1 || !strings.Contains(text, `err="answered 503 Service Unavailable: not now"`) || strings.Count(text, "takes alerts again") != 1 {
		t.Errorf("log %s", text)
	}
}

// TestPushIdle: whether an Alertmanager can be reached is known before the first alert, and each minute.
func TestPushIdle(t *testing.T) {
	m := newTaker(t)
	p := newPushing(t, Config{}, m)
	up := func() float64 { return testutil.ToFloat64(p.opts.Metrics.pushUp.WithLabelValues(m.URL)) }
	p.send(t, 0)
	p.send(t, pushIdle/2)
	if got := m.taken(p.now); got != "[]" || up() != 1 {
		t.Errorf("took %q, up %v", got, up())
	}
	m.set(http.StatusUnauthorized)
	p.send(t, pushIdle/2)
	if up() != 0 || p.failures(0) != 1 {
		t.Errorf("up %v", up())
	}
	m.set(http.StatusOK)
	p.send(t, pushBackoff)
	if got := m.taken(p.now); got != "[]" || up() != 1 {
		t.Errorf("took %q, up %v", got, up())
	}
}

func (p *pushing) failures(i int) int { return p.sinks[i].failures }

// TestPushBackoff: a server that fails is tried less and less often.
func TestPushBackoff(t *testing.T) {
	m := newTaker(t)
	m.set(http.StatusBadGateway)
	p := newPushing(t, Config{}, m)
	for range 3600 {
		p.send(t, time.Second)
	}
	// 1 s, 2 s, ... 32 s, then each minute.
	if n := len(m.paths); n < 60 || n > 70 {
		t.Errorf("%d requests in an hour", n)
	}
}

// TestPushRefused: what will never be taken does not hold up the rest; what only waits for rights stays.
func TestPushRefused(t *testing.T) {
	m := newTaker(t)
	p := newPushing(t, Config{}, m)
	m.set(http.StatusForbidden)
	p.Offer([]alert.Alert{firing("A")})
	p.send(t, 0)
	m.set(http.StatusBadRequest)
	p.send(t, time.Second)
	m.set(http.StatusOK)
	p.Offer([]alert.Alert{firing("B")})
	p.send(t, 10*time.Second)
	if got := m.taken(p.now); got != "[B firing]" || p.count(m, outcomeDropped) != 1 || p.count(m, outcomeFailed) != 1 {
		t.Errorf("took %q, dropped %v, failed %v", got, p.count(m, outcomeDropped), p.count(m, outcomeFailed))
	}
}

// TestPushMany: many alerts go in batches, those that fire first, and no more wait than have room.
func TestPushMany(t *testing.T) {
	m := newTaker(t)
	p := newPushing(t, Config{}, m)
	var many []alert.Alert
	for i := range pushWaiting + 5 {
		a := resolved(fmt.Sprintf("R%05d", i), p.now)
		if i%100 == 99 {
			a.Status = alert.StatusFiring
		}
		many = append(many, a)
	}
	p.Offer(many)
	p.send(t, 0)
	if n := len(m.got); n != pushWaiting/pushBatch+1 {
		t.Errorf("%d requests", n)
	}
	if a := m.got[0][99]; !a.EndsAt.After(p.now) {
		t.Errorf("what fires does not come first: %+v", a)
	}
	if sent, dropped := p.count(m, outcomeSent), p.count(m, outcomeDropped); sent != pushWaiting || dropped != 5 {
		t.Errorf("%v sent, %v dropped", sent, dropped)
	}
}

// TestPushRun: an offer wakes the goroutine, and what waits at the end is sent.
func TestPushRun(t *testing.T) {
	arrived := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var alerts []pushedAlert
		_ = json.Unmarshal(body, &alerts)
		for _, a := range alerts {
			arrived <- a.Labels["alertname"]
		}
	}))
	defer server.Close()
	config := Config{Push: []string{server.URL + "/"}, Timeout: units.Duration(5 * time.Second)}
	p, err := NewPusher(PushOptions{Config: config, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	p.Offer([]alert.Alert{firing("A")})
	if got := <-arrived; got != "A" {
		t.Errorf("got %s", got)
	}
	p.sinks[0].mu.Lock()
	p.sinks[0].waiting["last"] = pushedAlert{Labels: map[string]string{"alertname": "last"}, fingerprint: "last"}
	p.sinks[0].mu.Unlock()
	cancel()
	wg.Wait()
	close(arrived)
	if got := slices.Collect(func(yield func(string) bool) {
		for name := range arrived {
			if !yield(name) {
				return
			}
		}
	}); !slices.Contains(got, "last") { // A may come twice: its answer was not read
		t.Errorf("got %q", got)
	}
}

func TestPushAuthentication(t *testing.T) {
	m := newTaker(t)
	newPushing(t, Config{TokenFile: write(t, "secret", "sesame\n")}, m).send(t, 0)
	newPushing(t, Config{Username: "me", PasswordFile: write(t, "secret", "two\n")}, m).send(t, 0)
	if want := []string{"Bearer sesame", "Basic bWU6dHdv"}; !slices.Equal(m.auth, want) {
		t.Errorf("sent %q, want %q", m.auth, want)
	}
}

func TestPushMistakes(t *testing.T) {
	f := func(c Config, standalone bool, want ...string) {
		t.Helper()
		var got []string
		c.Validate("", standalone, func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(Config{Push: []string{"https://am/prefix/"}}, true)
	f(Config{Push: []string{"http://am"}, Timeout: units.Duration(time.Minute)}, true, "timeout: 1m is out of range: write 1s up to 30s")
	f(Config{Push: []string{"am:9093"}}, true, `push[0]: is not the address of an Alertmanager: write it as http://alertmanager:9093`)
	f(Config{Push: []string{"http://am", "http://am/"}}, true, `push[1]: "http://am" stands twice: remove one`)
	f(Config{Push: []string{"http://am"}}, false, "push: sends the alerts of rules that are evaluated here, and with standalone: false Prometheus evaluates them and sends them itself: write standalone: true, or remove push")
}
