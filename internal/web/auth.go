package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/loopback"
)

const maxTokenBytes = 4096

// matchesToken compares a token with that of a file, in constant time. The file is read each time: nothing that
// is kept of it, such as its size and times, says for sure that it holds what it held before.
func matchesToken(path, token string) (bool, error) {
	want, err := hostfs.ReadLine(path)
	if err != nil {
		return false, fmt.Errorf("the token file %w", err)
	}
	a, b := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1, nil
}

// denied is why a request may not change anything.
type denied struct {
	code int
	msg  string
}

// forwardingHeaders are what proxies add to a request, in canonical form, in addition to those that begin as
// forwardingPrefixes do or contain one of forwardingParts. A proxy that adds none is not recognized: that is why
// mode enforce wants more than a peer on this host. Headers of tracing are not among them: local callers
// have them too.
var (
	forwardingHeaders = []string{
		"Via", "X-Originating-Ip", "X-Original-Host", "X-Original-Url", "X-Original-Uri", "X-Rewrite-Url", "X-Scheme", "X-Url-Scheme", "X-Host", "X-Real-Port",
		"Front-End-Https", "X-Varnish", "X-Arr-Log-Id", "X-Appengine-User-Ip", "X-Amz-Cf-Id", "X-Bluecoat-Via", "Akamai-Origin-Hop", "Cdn-Loop", "Cdn-Src-Ip",
	}
	forwardingPrefixes = []string{"X-Envoy-", "X-Azure-", "Cf-", "Cloudfront-"}
	forwardingParts    = []string{"forward", "proxy", "client-ip", "clientip", "real-ip", "remote-ip", "remote-addr"} // of the name in small letters
)

// proxyHeader returns a header that a proxy has added, and "" when there is none.
func proxyHeader(h http.Header) string {
	for name := range h {
		if forwards(http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))) {
			return name
		}
	}
	return ""
}

func forwards(name string) bool {
	small := strings.ToLower(name)
	return slices.Contains(forwardingHeaders, name) ||
		slices.ContainsFunc(forwardingPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) ||
		slices.ContainsFunc(forwardingParts, func(part string) bool { return strings.Contains(small, part) })
}

// mayChange decides whether a request may use an endpoint that changes something.
func (s *server) mayChange(r *http.Request) *denied {
	if d := foreignOrigin(r); d != nil {
		return d
	}
	if s.Authenticated != nil && s.Authenticated(r) {
		return nil
	}
	access := s.Access()
	if access.TokenFile != "" {
		return s.checkToken(r, access.TokenFile)
	}
	if !access.TrustLoopback {
		return &denied{http.StatusForbidden, "in mode enforce callers must prove who they are, on this host too: write webhook: {token_file: ...} and send Authorization: Bearer, or protect the listener with --web.config.file; trust_loopback: true trusts every process on this host"}
	}
	if !loopback.Address(r.RemoteAddr) {
		return &denied{http.StatusForbidden, "only callers on this host may change something: configure webhook: {token_file: ...} and send Authorization: Bearer, or protect the listener with --web.config.file"}
	}
	if name := proxyHeader(r.Header); name != "" { // the caller is not the peer
		return &denied{http.StatusForbidden, fmt.Sprintf("a proxy on this host passes this on (%s): configure webhook: {token_file: ...} and send Authorization: Bearer", name)}
	}
	if host := hostOnly(r.Host); host != "localhost" && net.ParseIP(host) == nil {
		return &denied{http.StatusForbidden, fmt.Sprintf("the Host %q is not an address of this host: call it by 127.0.0.1 or localhost", r.Host)}
	}
	return nil
}

func (s *server) checkToken(r *http.Request, path string) *denied {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > maxTokenBytes {
		return &denied{http.StatusUnauthorized, "no bearer token: send Authorization: Bearer with the content of webhook.token_file"}
	}
	ok, err := matchesToken(path, strings.TrimSpace(token))
	if err != nil {
		s.Logger.Error("no caller can be authenticated", "err", err)
		return &denied{http.StatusServiceUnavailable, "the token cannot be checked: see the exporter's log"}
	}
	if !ok {
		return &denied{http.StatusUnauthorized, "wrong token: send the content of webhook.token_file"}
	}
	return nil
}

// hasProof reports whether a caller has proved who he is. That he is on this host proves nothing: so is every
// local user.
func (s *server) hasProof(r *http.Request) bool {
	if s.Authenticated != nil && s.Authenticated(r) {
		return true
	}
	file := s.Access().TokenFile
	return file != "" && r.Header.Get("Authorization") != "" && s.checkToken(r, file) == nil
}

// foreignOrigin refuses what a browser sends on behalf of another site; servers send no Origin.
func foreignOrigin(r *http.Request) *denied {
	origin, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	own := site == "" || site == "same-origin" || site == "none"
	if own && origin == "" {
		return nil
	}
	if u, err := url.Parse(origin); own && err == nil && strings.EqualFold(u.Host, r.Host) && u.Host != "" {
		return nil
	}
	return &denied{http.StatusForbidden, "requests from another site are refused: call this endpoint from a server or from its own page"}
}

func hostOnly(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

// refuses answers a request that may not change anything, and reports whether it did. It is asked
// again when the body has arrived, which takes its time: a reload may want more by then.
func (s *server) refuses(w http.ResponseWriter, r *http.Request) bool {
	d := s.mayChange(r)
	if d == nil {
		return false
	}
	if d.code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="spillway"`)
	}
	fail(w, d.code, "%s", d.msg)
	return true
}

// admit makes the checks that all changing endpoints share, in this order: method, who calls,
// rate, type. It answers and returns false when one fails. release must be called.
func (s *server) admit(w http.ResponseWriter, r *http.Request, wantJSON bool) (release func(), ok bool) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		fail(w, http.StatusMethodNotAllowed, "%s is not possible here: use POST", r.Method)
		return nil, false
	}
	if s.refuses(w, r) {
		return nil, false
	}
	if !s.limiter.AllowN(s.Now(), 1) {
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, "too many requests: retry in a second")
		return nil, false
	}
	if wantJSON && !isJSON(r.Header.Get("Content-Type")) {
		fail(w, http.StatusUnsupportedMediaType, "the Content-Type is %q: send application/json", r.Header.Get("Content-Type"))
		return nil, false
	}
	select {
	case s.bodies <- struct{}{}:
	default:
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, "too many requests at once: retry in a second")
		return nil, false
	}
	//nolint:errcheck // a connection that cannot have a deadline is a test's
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	return func() { <-s.bodies }, true
}

func isJSON(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/json")
}
