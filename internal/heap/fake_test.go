package heap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spillway-exporter/spillway_exporter/internal/lazy"
)

// fakeInspector answers as its fields say; nil ones answer as Node.js does.
type fakeInspector struct {
	*httptest.Server
	list     http.HandlerFunc
	upgrade  http.HandlerFunc
	answer   func(ctx context.Context, c *websocket.Conn, id int64, method, expression string) // nil = honest
	attaches atomic.Int32
	id       atomic.Int32 // of the start of the target
}

func newFakeInspector(t testing.TB) *fakeInspector {
	t.Helper()
	f := &fakeInspector{}
	mux := http.NewServeMux()
	mux.HandleFunc("/json/list", func(w http.ResponseWriter, r *http.Request) {
		if f.list != nil {
			f.list(w, r)
			return
		}
		fmt.Fprintf(w, `[{"id":"start-%d","type":"node","webSocketDebuggerUrl":"ws://203.0.113.7:9229/ws"}]`, f.id.Load())
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		if f.upgrade != nil {
			f.upgrade(w, r)
			return
		}
		f.attaches.Add(1)
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		f.serve(r.Context(), c)
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeInspector) serve(ctx context.Context, c *websocket.Conn) {
	for {
		_, data, err := c.Read(ctx)
		if err != nil {
			return
		}
		var m struct {
			ID     int64
			Method string
			Params struct{ Expression string }
		}
		if json.Unmarshal(data, &m) != nil {
			return
		}
		if f.answer != nil {
			f.answer(ctx, c, m.ID, m.Method, m.Params.Expression)
			continue
		}
		honest(ctx, c, m.ID, m.Method, m.Params.Expression)
	}
}

func reply(ctx context.Context, c *websocket.Conn, id int64, result string) {
	c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"id":%d,"result":%s}`, id, result))
}

func honest(ctx context.Context, c *websocket.Conn, id int64, method, expression string) {
	switch {
	case method == methodHeapUsage:
		reply(ctx, c, id, `{"usedSize":1000,"totalSize":2000}`)
	case expression == exprReady:
		reply(ctx, c, id, `{"result":{"type":"number","value":1}}`)
	case expression == exprLimit:
		reply(ctx, c, id, `{"result":{"type":"number","value":4000}}`)
	case expression == exprCollect:
		reply(ctx, c, id, `{"result":{"type":"number","value":1}}`)
	default:
		reply(ctx, c, id, `{}`)
	}
}

func (f *fakeInspector) address() string { return f.Listener.Addr().String() }

// client returns a client whose clock is moved by the returned function.
func (f *fakeInspector) client(t testing.TB, session string) (*Client, func(time.Duration)) {
	t.Helper()
	var ahead atomic.Int64
	p := newPool(t, func(o *Options) { o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) } })
	c := newClient(t, p, Config{Provider: ProviderNode, Address: f.address(), Session: session})
	return c, func(d time.Duration) { ahead.Add(int64(d)) }
}

func TestInspectorGoesToTheConfiguredAddressOnly(t *testing.T) {
	f := newFakeInspector(t) // its list names 203.0.113.7
	c, _ := f.client(t, SessionHeld)
	u, err := readWithin(c, 5*time.Second)
	if want := (Usage{Used: Some(1000), Committed: Some(2000), Limit: Some(4000)}); err != nil || u != want {
		t.Errorf("read %+v, %v, want %+v", u, err, want)
	}
}

// A target that has not begun its program has no require yet, and a session that asked for it then
// would never have it.
func TestInspectorWaitsForTheProgram(t *testing.T) {
	f := newFakeInspector(t)
	var begun, poisoned atomic.Bool
	f.answer = func(ctx context.Context, c *websocket.Conn, id int64, method, expression string) {
		switch {
		case method == methodEvaluate && expression == exprReady && !begun.Load():
			reply(ctx, c, id, `{"result":{"type":"number","value":0}}`)
		case method == methodEvaluate && expression != exprReady && !begun.Load():
			poisoned.Store(true)
			fallthrough
		default:
			honest(ctx, c, id, method, expression)
		}
	}
	c, _ := f.client(t, SessionHeld)
	for range maxLimitTries + 1 {
		if u, err := readWithin(c, 5*time.Second); err != nil || u.Limit.OK || u.Used != Some(1000) {
			t.Fatalf("before the program: %+v, %v", u, err)
		}
	}
	if _, _, err := c.Collect(context.Background()); err != nil {
		t.Errorf("collect: %v", err)
	}
	begun.Store(true)
	if u, err := readWithin(c, 5*time.Second); err != nil || u.Limit != Some(4000) {
		t.Errorf("in the program: %+v, %v", u, err)
	}
	if poisoned.Load() {
		t.Error("an expression was evaluated before the program")
	}
}

func TestInspectorReadsTheLimitOnce(t *testing.T) {
	f := newFakeInspector(t)
	var limits atomic.Int32
	f.answer = func(ctx context.Context, c *websocket.Conn, id int64, method, expression string) {
		if expression == exprLimit {
			limits.Add(1)
		}
		honest(ctx, c, id, method, expression)
	}
	for _, session := range []string{SessionHeld, SessionPerSample} {
		limits.Store(0)
		c, _ := f.client(t, session)
		for range 5 {
			if u, err := readWithin(c, 5*time.Second); err != nil || u.Limit != Some(4000) {
				t.Fatalf("%s: %+v, %v, want the limit each time", session, u, err)
			}
		}
		if limits.Load() != 1 {
			t.Errorf("%s: the limit was read %d times, want once", session, limits.Load())
		}
	}
	if got := f.attaches.Load(); got != 6 {
		t.Errorf("attached %d times, want once held and 5 times per sample", got)
	}
}

func TestInspectorHostileLists(t *testing.T) {
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(s)) }
	}
	tests := []struct {
		name string
		list http.HandlerFunc
		want string
	}{
		{"10 MB of JSON", text("[" + strings.Repeat(`{"id":"x"},`, 1<<20) + "{}]"), "larger than"},
		{"a word where a list is due", text("OK"), "not an inspector"},
		{"an object", text(`{"id":"x"}`), "not an inspector"},
		{"nothing", text(""), "not an inspector"},
		{"no target", text("[]"), "not a Node.js inspector"},
		{"a browser", text(`[{"id":"1","type":"page","webSocketDebuggerUrl":"ws://x/y"}]`), "not a Node.js inspector"},
		{"a websocket without a path", text(`[{"id":"1","type":"node","webSocketDebuggerUrl":"ws://127.0.0.1:1"}]`), "gives the websocket"},
		{"a websocket that is not a URL", text(`[{"id":"1","type":"node","webSocketDebuggerUrl":"::"}]`), "gives the websocket"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "302 Found"},
		{"not found", http.NotFound, "404 Not Found"},
		{"a large header", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }, "header"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeInspector(t)
			f.list = tt.list
			c, _ := f.client(t, SessionHeld)
			u, err := readWithin(c, 5*time.Second)
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrBusy) || u != (Usage{}) {
				t.Errorf("read %+v, %v, want nothing and an error with %q", u, err, tt.want)
			}
		})
	}
}

func TestInspectorSlowBodyIsBusy(t *testing.T) {
	f := newFakeInspector(t)
	f.list = func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			w.Write([]byte(" "))
			w.(http.Flusher).Flush()
			select {
			case <-time.After(10 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
	}
	c, _ := f.client(t, SessionHeld)
	start := time.Now()
	if _, err := readWithin(c, 100*time.Millisecond); !errors.Is(err, ErrBusy) || time.Since(start) > time.Second {
		t.Errorf("%v after %s, want ErrBusy at the deadline", err, time.Since(start))
	}
}

func TestInspectorUpgradeIsNotFollowed(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	f := newFakeInspector(t)
	f.upgrade = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) }
	c, _ := f.client(t, SessionHeld)
	if _, err := readWithin(c, 5*time.Second); err == nil || elsewhere.Load() != 0 {
		t.Errorf("error %v, %d requests elsewhere, want an error and none", err, elsewhere.Load())
	}
}

func TestInspectorHostileAnswers(t *testing.T) {
	raw := func(format string) func(context.Context, *websocket.Conn, int64) {
		return func(ctx context.Context, c *websocket.Conn, id int64) {
			text := format
			if strings.Contains(format, "%d") {
				text = fmt.Sprintf(format, id)
			}
			c.Write(ctx, websocket.MessageText, []byte(text))
		}
	}
	tests := []struct {
		name   string
		answer func(ctx context.Context, c *websocket.Conn, id int64)
		want   string
	}{
		{"10 MB", func(ctx context.Context, c *websocket.Conn, _ int64) {
			c.Write(ctx, websocket.MessageText, []byte(strings.Repeat(" ", 10<<20)))
		}, "session ended"},
		{"not JSON", raw("OK"), "not an inspector message"},
		{"NaN", raw(`{"id":%d,"result":{"usedSize":NaN,"totalSize":1}}`), "not an inspector message"},
		{"a word", raw(`{"id":%d,"result":{"usedSize":"OK","totalSize":1}}`), "heap usage"},
		{"less than nothing", raw(`{"id":%d,"result":{"usedSize":-1,"totalSize":1}}`), "is not a size"},
		{"beyond any memory", raw(`{"id":%d,"result":{"usedSize":1e300,"totalSize":1}}`), "is not a size"},
		{"a part is missing", raw(`{"id":%d,"result":{"usedSize":1}}`), "totalSize is missing"},
		{"no result", raw(`{"id":%d}`), "heap usage"},
		{"an error", raw(`{"id":%d,"error":{"code":-32000,"message":"no\nway"}}`), "target answered error -32000: no way"},
		{"another's id", raw(`{"id":999,"result":{"usedSize":1,"totalSize":1}}`), "target is busy"},
		{"an event only", raw(`{"method":"Runtime.consoleAPICalled","params":{}}`), "target is busy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeInspector(t)
			f.answer = func(ctx context.Context, c *websocket.Conn, id int64, method, _ string) {
				if method == methodHeapUsage {
					tt.answer(ctx, c, id)
				}
			}
			c, _ := f.client(t, SessionHeld)
			u, err := readWithin(c, 300*time.Millisecond)
			if err == nil || u != (Usage{}) {
				t.Fatalf("read %+v, %v, want nothing and an error", u, err)
			}
			if !strings.Contains(err.Error(), tt.want) && !strings.Contains(err.Error(), "session to this start of the target was lost") {
				t.Errorf("error %q, want %q", err, tt.want)
			}
			if f.attaches.Load() != 1 {
				t.Errorf("attached %d times, want once", f.attaches.Load())
			}
		})
	}
}

func TestInspectorHostileLimitLeavesItAbsent(t *testing.T) {
	for _, result := range []string{
		`{"result":{"type":"number","unserializableValue":"NaN"}}`,
		`{"result":{"type":"string","value":"256MB"}}`,
		`{"result":{"type":"number","value":0}}`,
		`{"result":{"type":"number","value":1e300}}`,
		`{"result":{"type":"undefined"}}`,
		`{"result":{"type":"object"},"exceptionDetails":{"text":"Uncaught","exception":{"description":"ReferenceError"}}}`,
		`[]`,
	} {
		f := newFakeInspector(t)
		var asked atomic.Int32
		f.answer = func(ctx context.Context, c *websocket.Conn, id int64, method, expression string) {
			if expression == exprLimit {
				asked.Add(1)
				reply(ctx, c, id, result)
				return
			}
			honest(ctx, c, id, method, expression)
		}
		c, _ := f.client(t, SessionHeld)
		for range maxLimitTries + 3 {
			if u, err := readWithin(c, 5*time.Second); err != nil || u.Limit.OK || u.Used != Some(1000) {
				t.Errorf("limit %s: read %+v, %v, want used alone", result, u, err)
			}
		}
		if asked.Load() != maxLimitTries {
			t.Errorf("limit %s: asked %d times, want %d", result, asked.Load(), maxLimitTries)
		}
	}
}

func TestInspectorDropsLateAnswers(t *testing.T) {
	f := newFakeInspector(t)
	var late []int64
	f.answer = func(ctx context.Context, c *websocket.Conn, id int64, method, expression string) {
		if method == methodHeapUsage && len(late) == 0 {
			late = append(late, id) // answered only when the next is asked
			return
		}
		if method == methodHeapUsage && len(late) == 1 {
			reply(ctx, c, late[0], `{"usedSize":7,"totalSize":7}`)
			late = append(late, id)
		}
		honest(ctx, c, id, method, expression)
	}
	c, _ := f.client(t, SessionHeld)
	if _, err := readWithin(c, 100*time.Millisecond); !errors.Is(err, ErrBusy) {
		t.Fatalf("%v, want ErrBusy", err)
	}
	if u, err := readWithin(c, 5*time.Second); err != nil || u.Used != Some(1000) {
		t.Errorf("read %+v, %v, want the answer to this request, not the late one", u, err)
	}
}

func TestInspectorCollectOutcomes(t *testing.T) {
	const threw = `{"result":{"type":"object"},"exceptionDetails":{"text":"Uncaught"}}`
	tests := []struct {
		name    string
		collect func(ctx context.Context, c *websocket.Conn, id int64, method string)
		want    error // nil = done
		unknown bool
	}{
		{"gc() is called", func(ctx context.Context, c *websocket.Conn, id int64, method string) {
			reply(ctx, c, id, `{"result":{"type":"number","value":1}}`)
		}, nil, false},
		{"gc() is not to be had, the profiler collects", func(ctx context.Context, c *websocket.Conn, id int64, method string) {
			if method == methodCollect {
				reply(ctx, c, id, `{}`)
				return
			}
			reply(ctx, c, id, threw)
		}, nil, false},
		{"both are refused", func(ctx context.Context, c *websocket.Conn, id int64, method string) {
			c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"id":%d,"error":{"code":1,"message":"no"}}`, id))
		}, errAny, false},
		{"no answer", func(context.Context, *websocket.Conn, int64, string) {}, ErrBusy, true},
		{"the target ends", func(_ context.Context, c *websocket.Conn, _ int64, _ string) { c.CloseNow() }, errLost, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeInspector(t)
			f.answer = func(ctx context.Context, c *websocket.Conn, id int64, method, expression string) {
				if method == methodCollect || expression == exprCollect {
					tt.collect(ctx, c, id, method)
					return
				}
				honest(ctx, c, id, method, expression)
			}
			c, _ := f.client(t, SessionHeld)
			before, after, err := c.Collect(deadline(t, 300*time.Millisecond))
			if tt.want == nil {
				if err != nil || !before.Used.OK || !after.Used.OK {
					t.Errorf("%+v, %+v, %v, want both readings", before, after, err)
				}
				return
			}
			if err == nil || (!errors.Is(tt.want, errAny) && !errors.Is(err, tt.want)) || errors.Is(err, ErrUnknown) != tt.unknown || after.Used.OK || !before.Used.OK {
				t.Errorf("%+v, %+v, %v, want before only and %v, unknown %v", before, after, err, tt.want, tt.unknown)
			}
		})
	}
}

var errAny = errors.New("any")

func TestInspectorLostSessionIsNotReopenedAtOnce(t *testing.T) {
	f := newFakeInspector(t)
	drop := atomic.Bool{}
	f.answer = func(ctx context.Context, c *websocket.Conn, id int64, method, expression string) {
		if drop.Load() {
			c.CloseNow()
			return
		}
		honest(ctx, c, id, method, expression)
	}
	c, ahead := f.client(t, SessionHeld)
	read := func() error { _, err := readWithin(c, 5*time.Second); return err }
	if err := read(); err != nil {
		t.Fatal(err)
	}
	drop.Store(true)
	for range 30 {
		if err := read(); err == nil {
			t.Fatal("a reading came out of a dropped session")
		}
		ahead(5 * time.Second)
	}
	if got := f.attaches.Load(); got != 1 {
		t.Errorf("attached %d times in 150 s to the same start, want once", got)
	}
	drop.Store(false)
	f.id.Add(1) // the target starts anew
	ahead(time.Minute)
	if err := read(); err != nil || f.attaches.Load() != 2 {
		t.Errorf("after a new start: %v, attached %d times, want a second time", err, f.attaches.Load())
	}
	drop.Store(true)
	read()
	drop.Store(false)
	ahead(reattachAfter)
	if err := read(); err != nil {
		t.Errorf("the same start after %s: %v, want it attached to again", reattachAfter, err)
	}
}

func TestInspectorIsLeftWhenTheTargetWaits(t *testing.T) {
	f := newFakeInspector(t)
	ended := make(chan struct{}, 1)
	f.answer = func(ctx context.Context, c *websocket.Conn, id int64, method, expression string) {
		honest(ctx, c, id, method, expression)
		if method == methodHeapUsage {
			c.Write(ctx, websocket.MessageText, []byte(`{"method":"NodeRuntime.waitingForDisconnect","params":{}}`))
			_, _, err := c.Read(ctx) // the limit, or the end
			for err == nil {
				_, _, err = c.Read(ctx)
			}
			ended <- struct{}{}
		}
	}
	c, ahead := f.client(t, SessionHeld)
	readWithin(c, time.Second)
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the session was not left")
	}
	for range 5 {
		ahead(time.Hour)
		if _, err := readWithin(c, time.Second); !errors.Is(err, ErrUnreachable) {
			t.Errorf("read %v, want ErrUnreachable while the target exits", err)
		}
	}
	if f.attaches.Load() != 1 {
		t.Errorf("attached %d times, want once and never again to this start", f.attaches.Load())
	}
}

func TestInspectorWithoutTheEventIsNotHeld(t *testing.T) {
	f := newFakeInspector(t)
	f.answer = func(ctx context.Context, c *websocket.Conn, id int64, method, _ string) {
		if method == methodNotifyWaiting {
			c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"id":%d,"error":{"code":-32601,"message":"not found"}}`, id))
		}
	}
	c, ahead := f.client(t, SessionHeld)
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, err := readWithin(c, time.Second)
		if err == nil || time.Now().After(deadline) {
			t.Fatalf("read %v, want the error that names session: per_sample", err)
		}
		if strings.Contains(err.Error(), "write session: per_sample") {
			return
		}
		ahead(time.Hour) // the loss of the session may be seen before the reason for it
	}
}

func TestInspectorManyRestarts(t *testing.T) {
	f := newFakeInspector(t)
	f.answer = func(ctx context.Context, c *websocket.Conn, id int64, method, expression string) {
		honest(ctx, c, id, method, expression)
	}
	reg := prometheus.NewRegistry()
	p := newPool(t, func(o *Options) { o.Metrics = lazy.NewMetrics(reg) })
	c := newClient(t, p, nodeConfig(f.address()))
	descriptors := func() int {
		t.Helper()
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	before := descriptors()
	for range 1000 {
		if _, err := readWithin(c, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		f.id.Add(1)
		f.CloseClientConnections()
		// hijacked connections are not the server's any more: end ours from the other side
		c.shared.backend.(*inspector).provider.Unload()
	}
	if f.attaches.Load() != 1000 {
		t.Errorf("attached %d times over 1000 starts", f.attaches.Load())
	}
	want := "# HELP spillway_provider_opens_total Providers opened successfully, by kind.\n# TYPE spillway_provider_opens_total counter\nspillway_provider_opens_total{provider=\"node_inspector\"} 1000\n"
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "spillway_provider_opens_total"); err != nil {
		t.Error(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for descriptors() > before+5 {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors, %d before", descriptors(), before)
		}
		<-time.After(10 * time.Millisecond)
	}
	// goleak in TestMain sees goroutines that are left
}

func TestUnreachableNamesWhatToDo(t *testing.T) {
	address := freeAddress(t)
	for provider, hint := range map[string]string{ProviderNode: "start node with --inspect=" + address, ProviderGo: "serve net/http/pprof at " + address} {
		c := newClient(t, newPool(t), Config{Provider: provider, Address: address})
		_, err := readWithin(c, time.Second)
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v, want ErrUnreachable and %q", provider, err, hint)
		}
	}
}

// A name of a config is resolved at each connection; what it resolves to is checked then.
func TestDialRefusesOtherHosts(t *testing.T) {
	tr := newTransport(nil)
	for _, address := range []string{"192.0.2.1:9", "[2001:db8::1]:9", "0.0.0.0:9"} {
		c, err := tr.DialContext(deadline(t, time.Second), "tcp", address)
		if err == nil {
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "is not a loopback address") {
			t.Errorf("dial %s: %v, want it refused before a packet is sent", address, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := tr.DialContext(deadline(t, time.Second), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
