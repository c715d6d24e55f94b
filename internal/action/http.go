package action

import (
	"bytes"
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
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/loopback"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

const (
	maxHTTPBody = 64 << 10
	maxHosts    = 1000
	httpDial    = 2 * time.Second
	exampleURL  = "http://127.0.0.1:4545/internal/gc"
)

// HTTPSettings are what a step gives the action http.
type HTTPSettings struct {
	URL       string   `yaml:"url"`        // where to POST, on loopback or a host of hosts
	URLFile   string   `yaml:"url_file"`   // a file with that URL instead, where it holds a secret; read for each request
	Hosts     []string `yaml:"hosts"`      // hosts other than loopback that the URL may name
	Body      string   `yaml:"body"`       // the body; else the alert, the run and the names of what it has removed, as JSON
	TokenFile string   `yaml:"token_file"` // a file with a bearer token
}

// String implements Settings. It does not show the path and the query, which may be a secret.
func (s *HTTPSettings) String() string { return "http POST " + s.where() }

// where names the URL for people.
func (s *HTTPSettings) where() string {
	if s.URLFile != "" {
		return "to the URL in " + s.URLFile
	}
	return fetch.PublicURL(s.URL)
}

// address returns the URL as it is now. Its errors do not show it.
func (s *HTTPSettings) address() (*url.URL, error) {
	if s.URLFile == "" {
		u, err := url.Parse(s.URL)
		return u, fetch.PublicError(err)
	}
	raw, err := hostfs.ReadLine(s.URLFile)
	if err != nil {
		return nil, fmt.Errorf("%w: write the URL into it", err)
	}
	u, err := s.check(raw)
	if err != nil {
		return nil, fmt.Errorf("the URL in %q %w", s.URLFile, err)
	}
	return u, nil
}

// check returns what is wrong with a URL, without showing it.
func (s *HTTPSettings) check(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "":
		return nil, fmt.Errorf("is not a URL of a server: write it as %s", exampleURL)
	case u.User != nil:
		return nil, errors.New("holds a user: write the token into a file and token_file")
	case u.Fragment != "":
		return nil, errors.New("holds a fragment, which is never sent: remove it")
	case !loopback.Host(u.Hostname()) && !slices.Contains(s.Hosts, u.Hostname()):
		return nil, fmt.Errorf("names %q, which is not on this host's loopback: write http://127.0.0.1:PORT/..., or hosts: [%s] next to it to allow that host", u.Hostname(), u.Hostname())
	}
	return u, nil
}

// checkURL reports mistakes in url and url_file.
func (s *HTTPSettings) checkURL(report report.Func) {
	switch {
	case s.URL != "" && s.URLFile != "":
		report("url_file", "stands next to the URL itself: write one of them")
	case s.URLFile != "" && !filepath.IsAbs(s.URLFile):
		report("url_file", "%q is not absolute: write the whole path", s.URLFile)
	case s.URLFile != "":
		if _, err := s.address(); err != nil {
			report("url_file", "%v", err)
		}
	case s.URL == "":
		report("url", "is missing: write where to POST, such as %s", exampleURL)
	default:
		if _, err := s.check(s.URL); err != nil {
			report("url", "%v", err)
		}
	}
}

// Validate implements Settings.
func (s *HTTPSettings) Validate(report report.Func) {
	s.checkURL(report)
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
	} else if _, err := hostfs.ReadLine(s.TokenFile); err != nil {
		report("token_file", "%v: write the token into it", err)
	}
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
	if !ok || s.URL == "" && s.URLFile == "" {
		return Result{Outcome: Failed}, fmt.Errorf("http: %w: write url in the step", ErrNotConfigured)
	}
	if err := ctx.Err(); err != nil {
		return Result{Outcome: Failed}, fmt.Errorf("http: nothing was sent: %w", err)
	}
	if req.DryRun {
		body, _, err := s.content(&req)
		if err != nil {
			return Result{Outcome: Failed}, err
		}
		detail := "would POST to " + strings.TrimPrefix(s.where(), "to ")
		if s.Body == "" {
			detail += req.Removed.text()
		}
		return Result{Outcome: DryRun, Detail: detail, Output: shown(body)}, nil
	}
	to, err := s.address()
	if err != nil {
		return Result{Outcome: Failed}, fmt.Errorf("http: nothing was sent: %w", err)
	}
	where := fetch.PublicURL(to.String())
	wrote := &atomic.Bool{} // the transport may still be at it when the request is given up
	r, err := newPost(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }}), &req, s, to)
	if err != nil {
		return Result{Outcome: Failed}, err
	}
	transport := newHTTPTransport(slices.Contains(s.Hosts, to.Hostname()))
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	start := time.Now()
	resp, err := client.Do(r)
	took := time.Since(start).Round(time.Millisecond)
	res, err := judgeAnswer(where, resp, fetch.PublicError(err), wrote.Load(), took)
	a.logger.Info("called the application", "target", req.Target, "run", req.RunID, "url", where, "outcome", string(res.Outcome), "took", took)
	return res, err
}

// content returns the body of the request and its type.
func (s *HTTPSettings) content(req *Request) (body []byte, kind string, err error) {
	switch {
	case s.Body == "":
		if body, err = json.Marshal(newMessage(req)); err != nil {
			return nil, "", fmt.Errorf("http: write the alert as JSON: %w", err)
		}
	case !json.Valid([]byte(s.Body)):
		return []byte(s.Body), "text/plain; charset=utf-8", nil
	default:
		body = []byte(s.Body)
	}
	return body, "application/json", nil
}

func newPost(ctx context.Context, req *Request, s *HTTPSettings, to *url.URL) (*http.Request, error) {
	body, kind, err := s.content(req)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("http: %w", fetch.PublicError(err))
	}
	r.GetBody = nil // sent once: the transport must not repeat it on another connection
	r.Header.Set("Content-Type", kind)
	r.Header.Set("User-Agent", fetch.UserAgent())
	r.Header.Set("X-Spillway-Run", req.RunID)
	if s.TokenFile != "" {
		token, err := hostfs.ReadLine(s.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("http: %w", err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r, nil
}

// newHTTPTransport returns what connects to a host that the step lists, else to loopback only.
func newHTTPTransport(listed bool) *http.Transport {
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
	answered := strings.TrimSpace(fmt.Sprintf("%s answered %d %s", where, resp.StatusCode, http.StatusText(resp.StatusCode))) // not resp.Status, which the server words
	res := Result{Outcome: Done, Output: out.text(), Detail: fmt.Sprintf("%s after %s", answered, took)}
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		res.Outcome = Failed
		return res, fmt.Errorf("http: %s: redirects are not followed, write the final address", answered)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		res.Outcome = Failed
		return res, fmt.Errorf("http: %s", answered)
	}
	return res, nil
}
