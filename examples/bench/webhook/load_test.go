// Package webhook puts load on the webhook of a running exporter: 64 connections, each of which
// waits for its answer. webhook.sh starts one and runs it.
package webhook

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const connections = 64

const body = `{"version":"4","receiver":"load","status":"firing","groupKey":"{}","truncatedAlerts":0,"externalURL":"http://am:9093",
"groupLabels":{"alertname":"Load"},"commonLabels":{"alertname":"Load"},"commonAnnotations":{},"alerts":[{"status":"firing",
"labels":{"alertname":"Load","target":"t%d","playbook":"%s","level":"warning","severity":"warning","job":"spillway"},
"annotations":{"summary":"load"},"startsAt":"2026-11-23T10:31:29Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"%016x"}]}`

// load posts what next returns and reports the rate, the 99th percentile, and how many answers
// were of which kind.
func load(b *testing.B, next func(n int64) string) {
	b.Helper()
	target := os.Getenv("WEBHOOK_URL")
	if target == "" {
		b.Skip("WEBHOOK_URL is not set: run webhook.sh")
	}
	senders := make([]*sender, connections)
	for i := range senders {
		var err error
		if senders[i], err = newSender(target); err != nil {
			b.Fatal(err)
		}
		defer senders[i].conn.Close()
	}
	var (
		count atomic.Int64
		wg    sync.WaitGroup
		took  [connections][]time.Duration
		mu    sync.Mutex
		kinds = make(map[string]int)
	)
	// At full speed the senders take as much of the two cores as they get, and the tail shows who
	// waited for a core. LOAD_RATE sends so many a second instead; each is timed from when it was due.
	var pause time.Duration
	if rate, err := strconv.Atoi(os.Getenv("LOAD_RATE")); err == nil && rate > 0 {
		pause = time.Second / time.Duration(rate)
	}
	b.ResetTimer()
	begin := time.Now()
	for i := range connections {
		wg.Go(func() {
			for {
				n := count.Add(1)
				if n > int64(b.N) {
					return
				}
				text := next(n)
				start := time.Now()
				if pause > 0 {
					start = begin.Add(time.Duration(n) * pause)
					<-time.After(time.Until(start))
				}
				kind, err := senders[i].post(text)
				took[i] = append(took[i], time.Since(start))
				if err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				kinds[kind]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(took[:]...)
	slices.Sort(all)
	b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(all[len(all)-1].Microseconds())/1000, "max-ms")
	for kind, n := range kinds {
		b.ReportMetric(float64(n), kind)
	}
}

// sender is one connection. It writes whole requests and reads the answers with as little work as
// possible: sender and exporter share the cores, and it is the exporter that is measured.
type sender struct {
	conn    net.Conn
	answers *bufio.Reader
	head    string
	request []byte
}

func newSender(target string) (*sender, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return nil, err
	}
	head := "POST " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\nContent-Type: application/json\r\nContent-Length: "
	return &sender{conn: conn, answers: bufio.NewReader(conn), head: head}, nil
}

// post sends a body and returns the disposition, or the status where it is not 200.
func (s *sender) post(text string) (kind string, err error) {
	s.request = append(s.request[:0], s.head...)
	s.request = strconv.AppendInt(s.request, int64(len(text)), 10)
	s.request = append(s.request, "\r\n\r\n"...)
	s.request = append(s.request, text...)
	if err := s.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := s.conn.Write(s.request); err != nil {
		return "", err
	}
	line, err := s.answers.ReadString('\n')
	if err != nil || len(line) < 12 {
		return "", fmt.Errorf("answer %q: %w", line, err)
	}
	status, length := line[9:12], -1
	for {
		if line, err = s.answers.ReadString('\n'); err != nil {
			return "", err
		}
		if line == "\r\n" {
			break
		}
		if v, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			if length, err = strconv.Atoi(strings.TrimSpace(v)); err != nil {
				return "", err
			}
		}
	}
	if length < 0 {
		return "", errors.New("an answer without its length")
	}
	raw := make([]byte, length)
	if _, err := io.ReadFull(s.answers, raw); err != nil || status != "200" {
		return status, err
	}
	_, rest, ok := strings.Cut(string(raw), `"disposition":"`)
	kind, _, _ = strings.Cut(rest, `"`)
	if !ok {
		return "", fmt.Errorf("answer %q has no disposition", raw)
	}
	return kind, nil
}

var started = time.Now().UnixNano()

// BenchmarkDistinct sends an alert that was never seen before with each request, for each
// playbook of each target in turn: the first of them becomes a run, those that come while it is
// open join it, those after it meet its cooldown.
func BenchmarkDistinct(b *testing.B) {
	load(b, func(n int64) string {
		return fmt.Sprintf(body, n%200, fmt.Sprintf("p%d", n/200%40), started+n)
	})
}

// BenchmarkDuplicates sends the same 200 alerts again and again.
func BenchmarkDuplicates(b *testing.B) {
	load(b, func(n int64) string { return fmt.Sprintf(body, n%200, "p41", n%200) })
}

// BenchmarkGarbage sends a third of garbage among alerts for no one.
func BenchmarkGarbage(b *testing.B) {
	load(b, func(n int64) string {
		if n%3 == 0 {
			return strings.Repeat("{", int(n%2000))
		}
		return fmt.Sprintf(body, 100_000, "p0", n)
	})
}
