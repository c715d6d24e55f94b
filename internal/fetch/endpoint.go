package fetch

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
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
	URLFile    string         `yaml:"url_file"`    // a file with that URL instead, where it holds a secret; read for each request
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

const exampleURL = "http://127.0.0.1:4545/stats"

func (e *Endpoint) checkURL(report report.Func) {
	switch {
	case e.URL != "" && e.URLFile != "":
		report("url_file", "stands next to the URL itself: write one of them")
	case e.URLFile != "" && !filepath.IsAbs(e.URLFile):
		report("url_file", "%q is not absolute: write the whole path", e.URLFile)
	case e.URLFile != "":
		if _, err := e.address(); err != nil {
			report("url_file", "%v", err)
		}
	case e.URL == "":
		report("url", "is missing: write where the service answers, such as %s", exampleURL)
	default:
		if err := e.check(e.URL); err != nil {
			report("url", "%v", err)
		}
	}
}

// address returns the URL as it is now. Its errors show no more of it than PublicURL does.
func (e *Endpoint) address() (string, error) {
	if e.URLFile == "" {
		return e.URL, nil
	}
	raw, err := hostfs.ReadLine(e.URLFile)
	if err != nil {
		return "", fmt.Errorf("%w: write the URL into it", err)
	}
	if err := e.check(raw); err != nil {
		return "", fmt.Errorf("the URL in %q %w", e.URLFile, err)
	}
	return raw, nil
}

// where names the endpoint in errors.
func (e *Endpoint) where(address string) string {
	if address == "" {
		return e.URLFile
	}
	return PublicURL(address)
}

// check returns what is wrong with a URL, without showing it.
func (e *Endpoint) check(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case len(raw) > maxURLLength:
		return fmt.Errorf("is longer than %d bytes: write a shorter one", maxURLLength)
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return fmt.Errorf("is not a URL: write scheme, host and path, such as %s", exampleURL)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("has the scheme %q, which is not read: write http or https, such as %s", u.Scheme, exampleURL)
	case u.User != nil:
		return errors.New("carries a user or password, which is not sent: let the service answer without one on loopback")
	case u.Fragment != "":
		return errors.New("has a fragment, which is never sent: remove everything from '#' on")
	case !e.allowed(u.Hostname()):
		return fmt.Errorf("names %q, which is not on this host's loopback: write 127.0.0.1, or list it: allow_hosts: [%s]", u.Hostname(), u.Hostname())
	}
	return nil
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
