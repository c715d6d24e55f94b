package dispatch

import (
	"slices"
	"sync"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

const (
	maxHosts     = 32
	maxHostBytes = 300
)

// hosts are the names under which others reach this exporter, the newest last. The set is
// bounded: a stranger can push a name out, and the next scrape restores it.
type hosts struct {
	mu    sync.Mutex
	names []string
}

func (h *hosts) learn(host string) {
	if host == "" || len(host) > maxHostBytes {
		return
	}
	host = alert.NormalizeInstance(host)
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.names); n > 0 && h.names[n-1] == host {
		return
	}
	if i := slices.Index(h.names, host); i >= 0 {
		h.names = slices.Delete(h.names, i, i+1)
	}
	if len(h.names) == maxHosts {
		h.names = slices.Delete(h.names, 0, 1)
	}
	h.names = append(h.names, host)
}

func (h *hosts) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.names)
}
