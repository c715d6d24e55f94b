package heap

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The providers.
const (
	ProviderNode = "node_inspector" // V8 inspector of Node.js
	ProviderGo   = "go_pprof"       // net/http/pprof of a Go program
	ProviderNone = "none"           // the heap is not read
)

// The ways to hold an inspector session.
const (
	SessionHeld      = "held"       // one session, which leaves when the target waits to exit
	SessionPerSample = "per_sample" // attach for each reading; prints lines on the target's stderr each time
)

// Config is the yaml key `heap` of a target.
type Config struct {
	Provider string      `yaml:"provider"` // node_inspector, go_pprof or none; empty = none
	Address  string      `yaml:"address"`  // host:port on loopback
	Session  string      `yaml:"session"`  // node_inspector only: held (default) or per_sample
	Limit    units.Bytes `yaml:"limit"`    // go_pprof only: what used is measured against, such as its GOMEMLIMIT
}

// Enabled reports whether a heap is to be read.
func (c Config) Enabled() bool { return c.Provider != "" && c.Provider != ProviderNone }

// Runtime returns the runtime label of the provider: node or go; "" without one.
func (c Config) Runtime() string { return providers[c.Provider].runtime }

// Validate applies the defaults and reports every mistake.
func (c *Config) Validate(report func(key, format string, args ...any)) {
	if !c.Enabled() {
		if c.Address != "" && c.Provider == "" {
			report("provider", "is missing: write %s", strings.Join(providerNames(), ", "))
		}
		return
	}
	p, known := providers[c.Provider]
	if !known {
		report("provider", "%q is not a heap provider: write one of %s", c.Provider, strings.Join(providerNames(), ", "))
		return
	}
	c.checkAddress(p.example, p.hint, report)
	if c.Provider == ProviderNode {
		if c.Session == "" {
			c.Session = SessionHeld
		}
		if c.Session != SessionHeld && c.Session != SessionPerSample {
			report("session", "%q is not a way to hold a session: write %s or %s", c.Session, SessionHeld, SessionPerSample)
		}
		if c.Limit != 0 {
			report("limit", "is for %s: Node.js tells its own limit, remove the key", ProviderGo)
		}
		return
	}
	if c.Session != "" {
		report("session", "is for %s: remove the key", ProviderNode)
	}
	if c.Limit < 0 {
		report("limit", "%s is not a limit: write a size above 0, such as 512MiB", c.Limit)
	}
}

func providerNames() []string {
	return append(slices.Sorted(maps.Keys(providers)), ProviderNone)
}

func (c *Config) checkAddress(example, hint string, report func(key, format string, args ...any)) {
	if c.Address == "" {
		report("address", "is missing: write where it listens, such as %s (%s)", example, hint)
		return
	}
	host, port, err := net.SplitHostPort(c.Address)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || n == 0 || host == "" {
		report("address", "%q is not host:port: write it as %s", c.Address, example)
		return
	}
	if !loopbackHost(host) {
		report("address", "%q is not on this host's loopback, and whoever reaches that port can run code in the target: let it listen on 127.0.0.1 and write %s", c.Address, net.JoinHostPort("127.0.0.1", port))
	}
}

// loopbackHost reports whether a host of a config is a loopback address or its usual name.
func loopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() && ip.Zone() == ""
}
