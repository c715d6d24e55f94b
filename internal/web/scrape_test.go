package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestScrapesOfOthers: a crowd whose scrapes do not end holds up neither this host's nor those with
// the token; the next of its own is refused after a while.
func TestScrapesOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := tokenFixture(t)
		f.handler.s.Metrics = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Slow") != "" {
				<-release
			}
			w.Write([]byte("up 1\n"))
		})
		scrape := func(ctx context.Context, from, token, slow string) (int, time.Duration) {
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://web-1:10042/metrics", http.NoBody)
			r.RemoteAddr = from
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			if slow != "" {
				r.Header.Set("Slow", slow)
			}
			w, begin := httptest.NewRecorder(), time.Now()
			f.handler.ServeHTTP(w, r)
			return w.Code, time.Since(begin)
		}
		var crowd sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for range 100 {
			crowd.Go(func() { scrape(ctx, "192.0.2.1:1", "", "yes") })
		}
		synctest.Wait()
		check := func(what, from, token string, want int, wait time.Duration) {
			t.Helper()
			if code, took := scrape(t.Context(), from, token, ""); code != want || took != wait {
				t.Errorf("%s: %d after %s, want %d after %s", what, code, took, want, wait)
			}
		}
		check("this host", "127.0.0.1:1", "", http.StatusOK, 0)
		check("with the token", "192.0.2.1:1", "sesame", http.StatusOK, 0)
		check("with a wrong token", "192.0.2.1:1", "open", http.StatusServiceUnavailable, scrapeWait)
		close(release)
		cancel()
		crowd.Wait()
		check("afterwards", "192.0.2.1:1", "", http.StatusOK, 0)
	})
}
