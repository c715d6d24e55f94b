package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/loopback"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

const (
	maxHTTPBody   = 64 << 10
	maxHosts      = 1000
	httpDial      = 2 * time.Second
	maxTokenBytes = 4096
)

// HTTPSettings are what a step tells the action http.
type HTTPSettings struct {
	URL       string   `yaml:"url"`        // where to POST, on loopback or a host of hosts
	Hosts     []string `yaml:"hosts"`      // hosts other than loopback that the URL may name
	Body      string   `yaml:"body"`       // the body; else the alert and the run as JSON
	TokenFile string   `yaml:"token_file"` // a file with a bearer token
}

// String implements Settings.
func (s *HTTPSettings) String() string { return "http POST " + s.URL }

// Validate implements Settings.
func (s *HTTPSettings) Validate(report report.Func) {
	u, err := url.Parse(s.URL)
	switch {
	case s.URL == "":
		report("url", "is missing: write where to POST, such as http://127.0.0.1:4545/internal/gc")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "":
		report("url", "%q is not a URL of a server: write it as http://127.0.0.1:4545/internal/gc", s.URL)
	case u.User != nil:
		report("url", "holds a user: write the token into a file and token_file")
	case u.Fragment != "":
		report("url", "%q holds a fragment, which is never sent: remove it", s.URL)
	case !loopback.Host(u.Hostname()) && !slices.Contains(s.Hosts, u.Hostname()):
		report("url", "%q is not on this host's loopback: write http://127.0.0.1:PORT/..., or hosts: [%s] beside it to allow that host", s.URL, u.Hostname())
	}
	if len(s.Hosts) > maxHosts {
		report("hosts", "%d hosts are too many: write at most %d", len(s.Hosts), maxHosts)
	}
	for i, h := range s.Hosts {
		if h == "" || strings.ContainsAny(h, "/: \t") && net.ParseIP(h) == nil {
			report(fmt.Sprintf("hosts[%d]", i), "%q is not a host: write a name or an address without scheme and port", h)
		}
	}
	if len(s.Body) > maxHTTPBody {
		report("body", "has %d bytes: write at most 64 KiB", len(s.Body))
	}
	if s.TokenFile == "" {
		return
	}
	if !filepath.IsAbs(s.TokenFile) {
		report("token_file", "%q is not absolute: write the whole path", s.TokenFile)
	} else if _, err := readToken(s.TokenFile); err != nil {
		report("token_file", "%s: write the token into it", err)
	}
}

func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%q cannot be read (%w)", path, reasonOf(err))
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxTokenBytes+1))
	token := strings.TrimSpace(string(raw))
	switch {
	case err != nil:
		return "", fmt.Errorf("%q cannot be read (%w)", path, reasonOf(err))
	case token == "" || len(raw) > maxTokenBytes || strings.ContainsAny(token, "\r\n\x00"):
		return "", fmt.Errorf("%q does not hold one line of at most 4 KiB", path)
	}
	return token, nil
}

// HTTP asks an application to help itself: it POSTs to an endpoint of it. It connects to loopback
// addresses and hosts that the step lists, follows no redirect and uses no proxy.
type HTTP struct{ logger *slog.Logger }

// NewHTTP returns the action.
func NewHTTP(logger *slog.Logger) *HTTP { return &HTTP{logger} }

// Run implements Action. Done is an answer of 2xx, Failed another one or a request that never went
// out, Unknown one that went out and was not answered in time.
func (a *HTTP) Run(ctx context.Context, req Request) (Result, error) {
	s, ok := req.Settings.(*HTTPSettings)
	if !ok || s.URL == "" {
		return Result{Outcome: Failed}, fmt.Errorf("http: %w: write url in the step", ErrNotConfigured)
	}
	if err := ctx.Err(); err != nil {
		return Result{Outcome: Failed}, fmt.Errorf("http: nothing was sent: %w", err)
	}
	if req.DryRun {
		return Result{Outcome: DryRun, Detail: "would POST to " + s.URL}, nil
	}
	wrote := &atomic.Bool{} // the transport may still be at it when the request is given up
	r, err := newPost(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }}), &req, s)
	if err != nil {
		return Result{Outcome: Failed}, err
	}
	transport := newHTTPTransport(s)
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	start := time.Now()
	resp, err := client.Do(r)
	took := time.Since(start).Round(time.Millisecond)
	res, err := judgeAnswer(s.URL, resp, err, wrote.Load(), took)
	a.logger.Info("called the application", "target", req.Target, "run", req.RunID, "url", s.URL, "outcome", string(res.Outcome), "took", took)
	return res, err
}

func newPost(ctx context.Context, req *Request, s *HTTPSettings) (*http.Request, error) {
	body, kind := s.Body, "text/plain; charset=utf-8"
	if body == "" || json.Valid([]byte(body)) {
		kind = "application/json"
	}
	if body == "" {
		raw, err := json.Marshal(newMessage(req))
		if err != nil {
			return nil, fmt.Errorf("http: write the alert as JSON: %w", err)
		}
		body = string(raw)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	r.GetBody = nil // sent once: the transport must not repeat it on another connection
	r.Header.Set("Content-Type", kind)
	r.Header.Set("User-Agent", fetch.UserAgent())
	r.Header.Set("X-Spillway-Run", req.RunID)
	if s.TokenFile != "" {
		token, err := readToken(s.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("http: %w", err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r, nil
}

func newHTTPTransport(s *HTTPSettings) *http.Transport {
	var listed bool
	if u, err := url.Parse(s.URL); err == nil {
		listed = slices.Contains(s.Hosts, u.Hostname())
	}
	d := &net.Dialer{
		Timeout: httpDial,
		Control: func(_, address string, _ syscall.RawConn) error {
			if listed || loopback.Address(address) {
				return nil
			}
			return fmt.Errorf("%s is not a loopback address: write its name into hosts", address)
		},
	}
	return &http.Transport{
		DialContext: d.DialContext, DisableKeepAlives: true, DisableCompression: true,
		TLSHandshakeTimeout: httpDial, MaxResponseHeaderBytes: maxHTTPBody,
	}
}

// judgeAnswer turns what came of a request into a result.
func judgeAnswer(where string, resp *http.Response, err error, wrote bool, took time.Duration) (Result, error) {
	switch {
	case err != nil && !wrote:
		return Result{Outcome: Failed}, fmt.Errorf("http: nothing was sent: %w", err)
	case err != nil:
		return Result{Outcome: Unknown, Detail: fmt.Sprintf("the request went out and no answer came within %s", took)}, fmt.Errorf("http: %w", err)
	}
	defer resp.Body.Close()
	out := &capped{}
	if _, err := io.Copy(out, io.LimitReader(resp.Body, 2*maxOutput)); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		fmt.Fprintf(out, "\n(the answer broke off: %v)", err)
	}
	res := Result{Outcome: Done, Output: out.text(), Detail: fmt.Sprintf("%s answered %s after %s", where, resp.Status, took)}
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		res.Outcome = Failed
		return res, fmt.Errorf("http: %s answered %s: redirects are not followed, write the final address", where, resp.Status)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		res.Outcome = Failed
		return res, fmt.Errorf("http: %s answered %s", where, resp.Status)
	}
	return res, nil
}
