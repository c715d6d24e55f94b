package heap

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// sampledClient is a client whose target samples.
func sampledClient(t testing.TB, p *Pool, cfg Config) *Client {
	t.Helper()
	c, err := p.Get(cfg, Target{Name: "t", Sample: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func profileWithin(t testing.TB, c Profiler, d time.Duration) (Snapshot, error) {
	t.Helper()
	return c.Profile(deadline(t, d), false)
}

// TestInspectorProfileOutcomes: what was asked for and not seen is unknown, and what the target answered is not.
func TestInspectorProfileOutcomes(t *testing.T) {
	f := func(name string, want error, answer func(ctx context.Context, c *websocket.Conn, id int64)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			fake := newFakeInspector(t)
			var asked atomic.Int32
			fake.answer = func(ctx context.Context, c *websocket.Conn, id int64, method, expression string) {
				if method != methodSamplingProfile {
					honest(ctx, c, id, method, expression)
					return
				}
				asked.Add(1)
				answer(ctx, c, id)
			}
			c := sampledClient(t, newPool(t), nodeConfig(fake.address()))
			readSoon(t, c)
			_, err := profileWithin(t, c, 2*time.Second)
			if !errors.Is(err, want) || asked.Load() != 1 {
				t.Errorf("%v, asked %d times, want %v once", err, asked.Load(), want)
			}
			if _, err := readWithin(c, time.Second); errors.Is(want, ErrNoProfile) && err != nil {
				t.Errorf("the next reading: %v", err)
			}
		})
	}
	f("an error", ErrNoProfile, func(ctx context.Context, c *websocket.Conn, id int64) {
		c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"id":%d,"error":{"code":-32000,"message":"V8 sampling heap profiler was not started."}}`, id))
	})
	f("silence", ErrProfileUnknown, func(context.Context, *websocket.Conn, int64) {})
	f("its end", ErrProfileUnknown, func(_ context.Context, c *websocket.Conn, _ int64) { c.CloseNow() })
	f("too long an answer", ErrProfileUnknown, func(ctx context.Context, c *websocket.Conn, id int64) {
		reply(ctx, c, id, `"`+strings.Repeat("x", maxProfileAnswer)+`"`)
	})
}

// TestInspectorLongProfile: it may be longer than any other answer, and the session is used on.
func TestInspectorLongProfile(t *testing.T) {
	fake := newFakeInspector(t)
	fake.answer = func(ctx context.Context, c *websocket.Conn, id int64, method, expression string) {
		if method == methodSamplingProfile {
			reply(ctx, c, id, `"`+strings.Repeat("x", 10<<20)+`"`)
			return
		}
		honest(ctx, c, id, method, expression)
	}
	c := sampledClient(t, newPool(t), nodeConfig(fake.address()))
	readSoon(t, c)
	for range 2 {
		if s, err := profileWithin(t, c, 10*time.Second); err != nil || len(s.Data) < 10<<20 || s.Since.IsZero() || s.Epoch == "" {
			t.Errorf("%d bytes of %q since %v, %v", len(s.Data), s.Epoch, s.Since, err)
		}
	}
	if fake.attaches.Load() != 1 {
		t.Errorf("attached %d times", fake.attaches.Load())
	}
}

// TestInspectorSamplesAsConfigured: nothing is asked of a target without evidence, and a reload begins and ends it.
func TestInspectorSamplesAsConfigured(t *testing.T) {
	fake := newFakeInspector(t)
	var began, ended atomic.Int32
	fake.answer = func(ctx context.Context, c *websocket.Conn, id int64, method, expression string) {
		switch method {
		case methodStartSampling:
			began.Add(1)
		case methodStopSampling:
			ended.Add(1)
		}
		honest(ctx, c, id, method, expression)
	}
	p := newPool(t)
	want := func(sample bool, begins, ends int32) {
		t.Helper()
		c, err := p.Get(nodeConfig(fake.address()), Target{Name: "t", Sample: sample})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		for range 3 {
			readSoon(t, c)
		}
		if began.Load() != begins || ended.Load() != ends {
			t.Errorf("with sampling %v: began %d times, ended %d times, want %d, %d", sample, began.Load(), ended.Load(), begins, ends)
		}
	}
	want(false, 0, 0)
	want(true, 1, 0)
	want(false, 1, 1)
}

// TestSamplingLetsTheTargetExit: it ends by itself as without sampling, and has written nothing.
func TestSamplingLetsTheTargetExit(t *testing.T) {
	t.Run("inspector", func(t *testing.T) {
		n := startNode(t, freeAddress(t))
		c := sampledClient(t, newPool(t), nodeConfig(n.address))
		readSoon(t, c)
		ends(t, n, c)
	})
	t.Run("agent", func(t *testing.T) {
		n, members := startAgent(t)
		c := locatedClient(t, newPool(t), Config{Provider: ProviderAgent}, Target{Members: members, Sample: true})
		readSoon(t, c)
		ends(t, n, c)
		if text := n.errText(); text != "" {
			t.Errorf("it wrote %q", text)
		}
	})
}

func ends(t *testing.T, n *node, c *Client) {
	t.Helper()
	n.do("keep", 20)
	n.expect("end keep")
	s, err := profileWithin(t, c, 10*time.Second)
	if err != nil || !bytes.Contains(s.Data, []byte("target.js")) {
		t.Fatalf("%.300q, %v", s.Data, err)
	}
	n.stdin.Close()
	done := make(chan error, 1)
	go func() { done <- n.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end while it samples")
	}
}

// TestAgentProfileOutcomes: hostile answers are bounded, and those of an earlier script say what to do.
func TestAgentProfileOutcomes(t *testing.T) {
	f := func(name, answer, want string, is error) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			c := scriptedAgent(t, map[string]string{"heap": `{"used":1000,"committed":2000,"limit":4000}` + "\n", "profile": answer})
			_, err := profileWithin(t, c, 2*time.Second)
			if !errors.Is(err, is) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q, %v", err, want, is)
			}
		})
	}
	f("an earlier script", `{"error":"write heap or gc"}`+"\n", "write heap or gc", ErrNoProfile)
	f("its end", "", "", ErrProfileUnknown)
	f("no line", strings.Repeat("x", 10<<20), "longer than 524288 bytes", ErrProfileUnknown)
	f("nonsense", "OK\n", `answered "OK`, ErrNoProfile)
	f("no moment", `{"since":-1}`+"\n", "samples since -1", ErrNoProfile)
	c := scriptedAgent(t, map[string]string{"heap": `{"used":1000,"committed":2000,"limit":4000}` + "\n", "profile": `{"since":1700000000000,"rows":"` + strings.Repeat("x", 400<<10) + "\"}\n"})
	if s, err := profileWithin(t, c, 5*time.Second); err != nil || len(s.Data) < 400<<10 || s.Since.IsZero() {
		t.Errorf("a long one: %d bytes, %v", len(s.Data), err)
	}
}

// scriptedAgent is a script that answers each request as it is written; "" ends the connection.
func scriptedAgent(t *testing.T, answers map[string]string) *Client {
	t.Helper()
	l, err := net.Listen("unix", fmt.Sprintf("%s/%d.sock", agentDir(t), os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			for {
				var request string
				if _, err := fmt.Fscanln(conn, &request); err != nil || answers[request] == "" {
					break
				}
				if _, err := io.WriteString(conn, answers[request]); err != nil {
					break
				}
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	members := []proc.Member{{PID: os.Getpid()}}
	return agentClient(t, newPool(t), func() []proc.Member { return members })
}

// TestPprofProfileOutcomes: a profile that cannot be used is an answer all the same.
func TestPprofProfileOutcomes(t *testing.T) {
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	io.Copy(zip, io.LimitReader(&countingReader{}, 100<<20))
	zip.Close()
	f := func(name string, want error, answer http.HandlerFunc) {
		t.Helper()
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.FormValue("debug") != "" {
				io.WriteString(w, trailer)
				return
			}
			answer(w, r)
		}))
		defer srv.Close()
		c := newClient(t, newPool(t), Config{Provider: ProviderGo, Address: srv.Listener.Addr().String()})
		if s, err := profileWithin(t, c, 2*time.Second); !errors.Is(err, want) || s.Data != nil {
			t.Errorf("%s: %d bytes, %v, want %v", name, len(s.Data), err, want)
		}
	}
	f("refused", ErrNoProfile, http.NotFound)
	f("a bomb", ErrNoProfile, func(w http.ResponseWriter, _ *http.Request) { w.Write(bomb.Bytes()) })
	f("endless", ErrNoProfile, func(w http.ResponseWriter, _ *http.Request) { io.Copy(w, io.LimitReader(&countingReader{}, 32<<20)) })
	f("cut short", ErrNoProfile, func(w http.ResponseWriter, _ *http.Request) { w.Write(bomb.Bytes()[:100]) })
	f("silence", ErrProfileUnknown, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	f("its end", ErrProfileUnknown, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// TestNoProfileWithout: providers that have none say so.
func TestNoProfileWithout(t *testing.T) {
	c := newClient(t, newPool(t), Config{Provider: ProviderJSON, URL: "http://127.0.0.1:1/", Map: Map{Used: "used"}})
	if _, err := c.Profile(t.Context(), false); !errors.Is(err, ErrNoProfile) {
		t.Errorf("%v", err)
	}
	var none *Client
	if _, err := none.Profile(t.Context(), false); !errors.Is(err, ErrNotConfigured) || none.Provider() != "" {
		t.Errorf("%v", err)
	}
}

// BenchmarkNodeSampledLatency is the latency of a busy endpoint that allocates, with and without sampling in turn.
func BenchmarkNodeSampledLatency(b *testing.B) {
	if _, err := exec.LookPath("node"); err != nil {
		b.Skip("node is not installed")
	}
	n := startNode(b, freeAddress(b))
	n.do("http", 0)
	url := "http://" + n.expect("listening")
	p := newPool(b)
	for i := range 10 {
		sample := i%2 == 1
		b.Run(fmt.Sprintf("sample=%v", sample), func(b *testing.B) {
			c, err := p.Get(nodeConfig(n.address), Target{Name: "t", Sample: sample})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			readSoon(b, c)
			b.ResetTimer()
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				resp, err := http.Get(url)
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				took = append(took, time.Since(start))
			}
			reportPercentiles(b, took)
		})
	}
	http.DefaultClient.CloseIdleConnections()
}
