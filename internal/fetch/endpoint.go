package fetch

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/loopback"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	maxTimeout   = 30 * time.Second
	maxURLLength = 2048
	maxHosts     = 20
)

// Endpoint are the keys of a config that say where to read.
type Endpoint struct {
	URL        string         `yaml:"url"`         // where the service answers: http or https, on loopback or a host of allow_hosts
	Timeout    units.Duration `yaml:"timeout"`     // of one request, 1ms to 30s
	AllowHosts []string       `yaml:"allow_hosts"` // hosts other than loopback that may be asked
}

// Validate applies the default of the timeout and reports every mistake.
func (e *Endpoint) Validate(report report.Func) {
	if e.Timeout == 0 {
		e.Timeout = units.Duration(2 * time.Second)
	}
	if e.Timeout.Std() < time.Millisecond || e.Timeout.Std() > maxTimeout {
		report("timeout", "%s is out of range: write 1ms to %s", e.Timeout, maxTimeout)
	}
	if len(e.AllowHosts) > maxHosts {
		report("allow_hosts", "%d hosts are too many: write at most %d", len(e.AllowHosts), maxHosts)
	}
	for _, h := range e.AllowHosts {
		if h == "" || strings.ContainsAny(h, "/:*? \t@") && !isAddr(h) {
			report("allow_hosts", "%q is not a host: write a name or an address without scheme and port, such as app.internal or 10.0.0.7", h)
		}
	}
	e.checkURL(report)
}

func (e *Endpoint) checkURL(report report.Func) {
	const example = "http://127.0.0.1:4545/stats"
	if e.URL == "" {
		report("url", "is missing: write where the service answers, such as %s", example)
		return
	}
	u, err := url.Parse(e.URL)
	switch {
	case len(e.URL) > maxURLLength:
		report("url", "is longer than %d bytes: write a shorter one", maxURLLength)
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		report("url", "%q is not a URL: write scheme, host and path, such as %s", e.URL, example)
	case u.Scheme != "http" && u.Scheme != "https":
		report("url", "%q is not read: write http or https, such as %s", u.Scheme, example)
	case u.User != nil:
		report("url", "carries a user or password, which would be seen in logs: let the service answer without one on loopback")
	case u.Fragment != "":
		report("url", "has a fragment, which is never sent: remove everything from '#' on")
	case !e.allowed(u.Hostname()):
		report("url", "%q is not on this host's loopback: write 127.0.0.1, or list it: allow_hosts: [%s]", u.Hostname(), u.Hostname())
	}
}

// allowed reports whether a host of a URL may be asked.
func (e *Endpoint) allowed(host string) bool { return loopback.Host(host) || e.listed(host) }

func (e *Endpoint) listed(host string) bool {
	return slices.ContainsFunc(e.AllowHosts, func(h string) bool { return strings.EqualFold(h, host) })
}

func isAddr(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
