package pull

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	maxServers      = 10
	defaultInterval = 15 * time.Second
	minInterval     = 5 * time.Second
	maxInterval     = 10 * time.Minute
	defaultTimeout  = 5 * time.Second
	maxPushTimeout  = 30 * time.Second
	maxCABytes      = 1 << 20
)

// Config is the yaml key `alertmanager`.
type Config struct {
	Pull         []string       `yaml:"pull"`          // addresses of the members of one cluster, with their route prefix if they have one
	Push         []string       `yaml:"push"`          // addresses of Alertmanagers that the alerts of the rules evaluated here are sent to, with their route prefix if they have one
	Interval     units.Duration `yaml:"interval"`      // between two polls; the first comes at a random moment of the first interval
	Timeout      units.Duration `yaml:"timeout"`       // of one request; at most the interval of pull, or 30s
	TokenFile    string         `yaml:"token_file"`    // a file with a bearer token, read for each request
	Username     string         `yaml:"username"`      // basic authentication instead
	PasswordFile string         `yaml:"password_file"` // a file with the password, read for each request
	CAFile       string         `yaml:"ca_file"`       // certificates by which an https address is checked; else the host's
}

// Pulls reports whether any Alertmanager is polled.
func (c *Config) Pulls() bool { return len(c.Pull) > 0 }

// Pushes reports whether alerts are sent to any Alertmanager.
func (c *Config) Pushes() bool { return len(c.Push) > 0 }

// Validate applies the defaults and reports every mistake. instance is the configured label of
// this exporter, and standalone says that it evaluates all rules itself.
func (c *Config) Validate(instance string, standalone bool, report report.Func) {
	if !c.Pulls() && c.Interval != 0 {
		report("interval", "is for pull: write pull: [http://alertmanager:9093] next to it, or remove the key")
	}
	if !c.Pulls() && !c.Pushes() {
		for key, set := range map[string]bool{
			"timeout": c.Timeout != 0, "token_file": c.TokenFile != "", "username": c.Username != "",
			"password_file": c.PasswordFile != "", "ca_file": c.CAFile != "",
		} {
			if set {
				report(key, "is for pull and push: write push: [http://alertmanager:9093] next to it, or remove the key")
			}
		}
		return
	}
	c.checkTimes(report)
	if c.Pulls() && instance == "" {
		report("pull", "needs to know which alerts are this host's: write instance: HOST:PORT, the label that Prometheus gives this exporter")
	}
	if c.Pushes() && !standalone {
		report("push", "sends the alerts of rules that are evaluated here, and with standalone: false Prometheus evaluates them and sends them itself: write standalone: true, or remove push")
	}
	checkServers("pull", c.Pull, "the members of one cluster", report)
	checkServers("push", c.Push, "which all get every alert", report)
	c.checkSecrets(report)
}

// checkTimes applies the defaults of the times, and checks them.
func (c *Config) checkTimes(report report.Func) {
	interval := maxPushTimeout // of push alone
	if c.Pulls() {
		if c.Interval == 0 {
			c.Interval = units.Duration(defaultInterval)
		}
		interval = c.Interval.Std()
		if interval < minInterval || interval > maxInterval {
			report("interval", "%s is out of range: write %s to %s", c.Interval, units.Duration(minInterval), units.Duration(maxInterval))
		}
	}
	if c.Timeout == 0 {
		c.Timeout = units.Duration(min(defaultTimeout, interval))
	}
	switch t := c.Timeout.Std(); {
	case t >= time.Second && t <= interval:
	case c.Pulls():
		report("timeout", "%s is out of range: write 1s up to the interval, %s", c.Timeout, c.Interval)
	default:
		report("timeout", "%s is out of range: write 1s up to %s", c.Timeout, units.Duration(interval))
	}
}

// checkServers checks the addresses of one key; what says what they are.
func checkServers(name string, addresses []string, what string, report report.Func) {
	if len(addresses) > maxServers {
		report(name, "%d are too many: write at most %d, %s", len(addresses), maxServers, what)
	}
	for i, raw := range addresses {
		key := fmt.Sprintf("%s[%d]", name, i)
		u, err := url.Parse(raw)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "":
			report(key, "is not the address of an Alertmanager: write it as http://alertmanager:9093")
		case u.User != nil:
			report(key, "holds a user: write username and password_file")
		case u.RawQuery != "" || u.Fragment != "":
			report(key, "%q holds more than an address: write it as http://alertmanager:9093, with its route prefix if it has one", fetch.PublicURL(raw))
		case strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), alertsPath):
			report(key, "%q holds the path of the API, which is added here: write %s://%s", fetch.PublicURL(raw), u.Scheme, u.Host)
		case slices.ContainsFunc(addresses[:i], func(other string) bool { return serverAddress(other) == serverAddress(raw) }):
			report(key, "%q stands twice: remove one", fetch.PublicURL(raw))
		}
	}
}

// serverAddress returns an address as it is polled: a slash at its end makes no other server.
func serverAddress(configured string) string { return strings.TrimRight(configured, "/") }

func (c *Config) checkSecrets(report report.Func) {
	switch {
	case c.TokenFile != "" && (c.Username != "" || c.PasswordFile != ""):
		report("token_file", "and username exclude each other: write one of them")
	case c.Username != "" && c.PasswordFile == "":
		report("password_file", "is missing: write the path of a file with the password of %q", c.Username)
	case c.Username == "" && c.PasswordFile != "":
		report("username", "is missing: write the name that belongs to password_file")
	}
	for key, path := range map[string]string{"token_file": c.TokenFile, "password_file": c.PasswordFile} {
		if path == "" {
			continue
		}
		if !filepath.IsAbs(path) {
			report(key, "%q is not absolute: write the whole path", path)
		} else if _, err := hostfs.ReadLine(path); err != nil {
			report(key, "%v: write the secret into it", err)
		}
	}
	if c.CAFile == "" {
		return
	}
	if !filepath.IsAbs(c.CAFile) {
		report("ca_file", "%q is not absolute: write the whole path", c.CAFile)
	} else if _, err := c.roots(); err != nil {
		report("ca_file", "%v: write a file with PEM certificates", err)
	}
}

// roots returns the certificates of CAFile, nil for those of the host.
func (c *Config) roots() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	raw, err := readBounded(c.CAFile, maxCABytes)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("%q holds no certificate", c.CAFile)
	}
	return pool, nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	raw, err := hostfs.ReadFile(path, limit)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q cannot be read (%w)", path, cmp.Or(errors.Unwrap(err), err))
	case int64(len(raw)) > limit:
		return nil, fmt.Errorf("%q is larger than %d bytes", path, limit)
	}
	return raw, nil
}
