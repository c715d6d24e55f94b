package heap

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// pprofServer serves the profile of this very process, as any Go program does.
func pprofServer(t testing.TB) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(pprof.Index))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

func TestPprofReadsAndCollects(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	debug.FreeOSMemory() // a collection or release that is under way would end between the two readings
	c := newClient(t, newPool(t), Config{Provider: ProviderGo, Address: pprofServer(t), Limit: 8 << 30})
	u, err := readWithin(c, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	near := func(name string, got units.Bytes, want uint64) {
		t.Helper()
		if diff := float64(got) - float64(want); diff > 8<<20 || diff < -8<<20 {
			t.Errorf("%s = %s, the runtime says %s", name, got, units.Bytes(want))
		}
	}
	near("used", u.Used.Bytes, m.HeapAlloc)
	near("committed", u.Committed.Bytes, m.HeapSys-m.HeapReleased)
	if u.Limit != Some(8<<30) {
		t.Errorf("limit = %v, want the configured one", u.Limit)
	}
	garbage := make([]byte, 64<<20)
	for i := range garbage {
		garbage[i] = 1
	}
	runtime.KeepAlive(garbage)
	before, after, err := c.Collect(t.Context())
	if err != nil || before.Used.Bytes-after.Used.Bytes < 60<<20 {
		t.Errorf("before %v, after %v, %v: want 64MiB of garbage gone", before, after, err)
	}
}

func TestPprofLimitIsAbsentUnlessTold(t *testing.T) {
	c := newClient(t, newPool(t), Config{Provider: ProviderGo, Address: pprofServer(t)})
	u, err := readWithin(c, 5*time.Second)
	if _, ok := u.Ratio(); err != nil || u.Limit.OK || ok || !u.Used.OK {
		t.Errorf("read %+v, %v, want used without a limit", u, err)
	}
}

const trailer = "\n# runtime.MemStats\n# HeapAlloc = 100\n# HeapSys = 300\n# HeapReleased = 50\n# NextGC = 7\n"

func TestDecodeMemStats(t *testing.T) {
	f := func(name, text string, want Usage, wantErr bool) {
		t.Helper()
		u, err := decodeMemStats(strings.NewReader(text))
		if u != want || (err != nil) != wantErr || (err != nil && !errors.Is(err, errNoMemStats)) {
			t.Errorf("%s: %+v, %v, want %+v, error %v", name, u, err, want, wantErr)
		}
	}
	good := Usage{Used: Some(100), Committed: Some(250)}
	f("a trailer", "heap profile: 1: 2 [3: 4] @ heap/1048576"+trailer, good, false)
	f("after long lines", "heap profile"+strings.Repeat(" 0xdeadbeef", 5000)+trailer, good, false)
	f("a long line that hides a figure", trailer+"#"+strings.Repeat("x", 5000)+"# HeapAlloc = 1\n", good, false)
	f("figures outside the trailer", "# HeapAlloc = 100\n# HeapSys = 300\n# HeapReleased = 50\n", Usage{}, true)
	f("nothing", "", Usage{}, true)
	f("another page", "<html>OK</html>", Usage{}, true)
	f("cut short", trailer[:40], Usage{}, true)
	f("NaN", strings.Replace(trailer, "100", "NaN", 1), Usage{}, true)
	f("less than nothing", strings.Replace(trailer, "100", "-1", 1), Usage{}, true)
	f("beyond any memory", strings.Replace(trailer, "100", "99999999999999999", 1), Usage{}, true)
	f("more given back than had", strings.Replace(trailer, "= 50", "= 301", 1), Usage{}, true)
}

func TestDecodeMemStatsIsBounded(t *testing.T) {
	endless := &countingReader{}
	_, err := decodeMemStats(endless)
	if !errors.Is(err, errNoMemStats) || endless.n > maxProfileBytes+1<<20 {
		t.Errorf("%v after %d bytes, want an end at %d", err, endless.n, maxProfileBytes)
	}
}

type countingReader struct{ n int64 }

func (r *countingReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '\n'
	}
	r.n += int64(len(p))
	return len(p), nil
}

func TestPprofHostileServers(t *testing.T) {
	elsewhere := atomic.Int32{}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		io.WriteString(w, trailer)
	}))
	defer other.Close()
	hang := make(chan struct{})
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   string
		busy   bool
	}{
		{"another program", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "OK") }, "does not serve net/http/pprof", false},
		{"not found", http.NotFound, "404 Not Found", false},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) }, "302 Found", false},
		{"silence", func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		}, "no answer in time", true},
		{"an end in the middle", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, trailer)
		}, "unexpected EOF", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(tt.answer)
			defer srv.Close()
			c := newClient(t, newPool(t), Config{Provider: ProviderGo, Address: srv.Listener.Addr().String()})
			u, err := readWithin(c, 300*time.Millisecond)
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrBusy) != tt.busy || u != (Usage{}) {
				t.Errorf("read %+v, %v, want nothing and %q", u, err, tt.want)
			}
		})
	}
	close(hang)
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestPprofCollectOutcomes(t *testing.T) {
	f := func(name string, gc http.HandlerFunc, unknown bool) {
		t.Helper()
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.FormValue("gc") != "" {
				gc(w, r)
				return
			}
			io.WriteString(w, trailer)
		}))
		defer srv.Close()
		c := newClient(t, newPool(t), Config{Provider: ProviderGo, Address: srv.Listener.Addr().String()})
		before, after, err := c.Collect(deadline(t, 300*time.Millisecond))
		if err == nil || errors.Is(err, ErrUnknown) != unknown || !before.Used.OK || after.Used.OK {
			t.Errorf("%s: %+v, %+v, %v, want before only and unknown %v", name, before, after, err, unknown)
		}
	}
	f("refused", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, false)
	f("no answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, true)
	f("the target ends", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true)
	f("an answer without figures", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "OK") }, true)
}

func BenchmarkPprofRead(b *testing.B) {
	c := newClient(b, newPool(b), Config{Provider: ProviderGo, Address: pprofServer(b)})
	if _, err := readWithin(c, 5*time.Second); err != nil {
		b.Fatal(err)
	}
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		start := time.Now()
		if _, err := readWithin(c, 2*time.Second); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	reportPercentiles(b, took)
}

func BenchmarkDecodeMemStats(b *testing.B) {
	text := strings.Repeat(fmt.Sprintf("1: 2 [3: 4] @%s\n#\t0x1\tmain.f+0x1\t/x.go:1\n", strings.Repeat(" 0x123456", 20)), 1000) + trailer
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeMemStats(strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}
