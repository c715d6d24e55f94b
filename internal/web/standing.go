package web

import (
	"net/http"

	"github.com/spillway-exporter/spillway_exporter/internal/loopback"
)

// standing is what is known of the caller of a request. Places that are scarce are divided by it.
type standing int

const (
	remote standing = iota // another host, or a proxy on this one that says so
	local                  // this host
	proved                 // by the token or to the listener
)

// proxied is the peer of all that a proxy on this host passes on.
const proxied = "a proxy on this host"

// standing returns the standing of a caller, and which host it is: "" is this one.
func (s *server) standing(r *http.Request) (k standing, peer string) {
	peer = loopback.Peer(r.RemoteAddr)
	if peer == "" && proxyHeader(r.Header) != "" {
		peer = proxied
	}
	switch {
	case s.proves(r):
		return proved, peer
	case peer == "":
		return local, peer
	}
	return remote, peer
}

// proves reports whether the caller has proved who he is. That he is on this host proves nothing.
func (s *server) proves(r *http.Request) bool {
	if s.Authenticated != nil && s.Authenticated(r) {
		return true
	}
	path := s.Access().TokenFile
	return path != "" && r.Header.Get("Authorization") != "" && s.checkToken(r, path) == nil
}

// Handler serves everything that the exporter serves.
type Handler struct {
	http.Handler
	s *server
}

// Caller reports whether the caller of a request has proved who he is, and whether the answer is a
// stream, whose number is limited here.
func (h *Handler) Caller(r *http.Request) (hasProved, stream bool) {
	return h.s.proves(r), r.URL.Path == watchPath
}
