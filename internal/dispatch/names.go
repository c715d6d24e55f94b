package dispatch

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/url"
	"slices"
	"sync"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/loopback"
)

const (
	maxNames     = 32
	maxHostBytes = 300
	namesKey     = "instance/names" // in the journal: the names that this exporter has had
)

// names are the instance labels of this exporter. One that is configured is the only one. Otherwise
// they are learned, and only from callers who have proved who they are: what anyone could say would
// let the alerts of another host in. None is pushed out by a later one. While pinned, the first that
// is learned stays the only one, apart from names of loopback, until a reload.
type names struct {
	log *slog.Logger

	mu         sync.Mutex
	configured string // normalized, as all of them; "" = learned
	pin        bool
	learned    []string
	former     []string // known once, or proved while another was pinned; the newest last
	unsaved    bool
}

// identity is what decide knows of the names of this exporter.
type identity struct {
	known  []string
	former []string // an alert of one is refused for now, since its sender repeats it
	none   bool     // nothing was configured, and nothing learned yet
}

// set exchanges what is configured. What was known until then is remembered as former where it does
// not hold any more.
func (n *names) set(instance string, pin bool) {
	instance = alert.NormalizeInstance(instance)
	n.mu.Lock()
	defer n.mu.Unlock()
	var gone []string
	if n.configured != "" && n.configured != instance {
		gone = append(gone, n.configured)
	}
	if instance != "" || pin || n.pin {
		gone = append(gone, n.learned...)
		n.learned = nil
	}
	n.configured, n.pin = instance, pin
	for _, name := range gone {
		if name != instance {
			n.remember(name)
		}
	}
}

// remember adds a name to the former ones. It is called with the lock held.
func (n *names) remember(name string) {
	if i := slices.Index(n.former, name); i >= 0 {
		n.former = slices.Delete(n.former, i, i+1)
	} else {
		n.unsaved = true
	}
	if len(n.former) == maxNames {
		n.former = slices.Delete(n.former, 0, 1)
	}
	n.former = append(n.former, name)
}

// learn notes a name by which a caller who has proved who he is reached this exporter. It reports
// whether there is something new to save.
func (n *names) learn(host string) bool {
	name := alert.NormalizeInstance(host)
	if name == "" || len(name) > maxHostBytes {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.configured != "" || slices.Contains(n.learned, name) {
		return false
	}
	if pinned := n.pinned(); n.pin && pinned != "" && !isLoopback(name) {
		if !slices.Contains(n.former, name) {
			n.log.Warn("this exporter is called by a second name, and alerts of it are refused: write instance: in the configuration, or reload if the address has changed", "name", name, "pinned", pinned)
		}
		n.remember(name)
		return n.unsaved
	}
	if len(n.learned) == maxNames {
		n.log.Debug("a name of this exporter is not learned: there are too many", "name", name)
		return false
	}
	n.learned, n.unsaved = append(n.learned, name), true
	n.former = slices.DeleteFunc(n.former, func(old string) bool { return old == name })
	n.log.Info("learned the instance label of this exporter", "name", name, "pinned", n.pin && !isLoopback(name))
	return true
}

// pinned returns the name next to which no other is learned, "" when there is none yet. It is called with
// the lock held.
func (n *names) pinned() string {
	if i := slices.IndexFunc(n.learned, func(name string) bool { return !isLoopback(name) }); i >= 0 {
		return n.learned[i]
	}
	return ""
}

// isLoopback reports whether a name, with or without a port, stays on this host: no other host is
// meant by it.
func isLoopback(name string) bool {
	u := url.URL{Host: name}
	return loopback.Host(u.Hostname())
}

// identity returns the names for the alerts of a request that came to host.
func (n *names) identity(host string) identity {
	host = alert.NormalizeInstance(host)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.configured != "" {
		return identity{known: []string{n.configured}, former: slices.Clone(n.former)}
	}
	id := identity{known: slices.Clone(n.learned), former: slices.Clone(n.former), none: len(n.learned) == 0 || n.pin && n.pinned() == ""}
	if host != "" && len(host) <= maxHostBytes && !slices.Contains(id.known, host) && (!n.pin || isLoopback(host)) {
		id.known = append(id.known, host)
	}
	return id
}

// load takes over the names that this exporter had before it was started.
func (n *names) load(raw []byte) {
	var saved []string
	if len(raw) == 0 || json.Unmarshal(raw, &saved) != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range saved[max(0, len(saved)-maxNames):] {
		n.remember(name)
	}
	n.unsaved = false
}

// save keeps the names for the next start, where they have changed.
func (n *names) save(ctx context.Context, put func(ctx context.Context, key string, value []byte) error) {
	n.mu.Lock()
	all := slices.Concat(n.former, n.learned)
	unsaved := n.unsaved
	n.unsaved = false
	n.mu.Unlock()
	if !unsaved {
		return
	}
	raw, err := json.Marshal(all[max(0, len(all)-maxNames):])
	if err == nil {
		err = put(ctx, namesKey, raw)
	}
	if err == nil {
		return
	}
	n.log.Debug("the names of this exporter could not be saved", "err", err)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unsaved = true
}
