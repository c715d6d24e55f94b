package heap

import (
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/loopback"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The ways to hold an inspector session.
const (
	SessionHeld      = "held"       // one session, which leaves when the target waits to exit
	SessionPerSample = "per_sample" // attach for each reading; prints lines on the target's stderr each time
)

// Config is the yaml key `heap` of a target.
type Config struct {
	Provider string      `yaml:"provider"` // how the heap is read; without one it is not
	Address  string      `yaml:"address"`  // node_inspector, go_pprof: host:port on loopback; node_inspector finds it among the ports of processes when empty
	Session  string      `yaml:"session"`  // node_inspector: held keeps one session until the target exits, per_sample attaches for each reading
	Activate string      `yaml:"activate"` // node_inspector: sigusr1 opens the inspector of a target that has none, and closes it again; needs mode: enforce
	Listener string      `yaml:"listener"` // address, url: any believes whoever listens there; else it has to be a process of the target, or root's
	URL      string      `yaml:"url"`      // prometheus, json: where the service reports its heap, on loopback
	Map      Map         `yaml:"map"`      // prometheus, json: where the values stand in what it reports
	Units    string      `yaml:"units"`    // json: binary where the service's 512MB is 512 x 1024 x 1024 bytes, decimal where it is 512 x 1000 x 1000
	Limit    units.Bytes `yaml:"limit"`    // what used is measured against, where the runtime reports no limit of its own
	Collect  Collect     `yaml:"collect"`  // when collect_garbage may ask for a collection
}

// Map says where the figures of a heap stand: gjson paths, or names of metrics.
type Map struct {
	Used      string `yaml:"used"`      // bytes in use by objects; required
	Committed string `yaml:"committed"` // bytes that the runtime holds
	Limit     string `yaml:"limit"`     // bytes at which it runs out
}

// Enabled reports whether a heap is to be read.
func (c Config) Enabled() bool { return c.Provider != "" && c.Provider != ProviderNone }

// Runtime returns the runtime label of the provider, such as node or go; "" without one.
func (c Config) Runtime() string { return providers[c.Provider].runtime }

// Collects reports whether the provider can be asked for a collection and the config lets it.
func (c Config) Collects() bool {
	return c.Enabled() && providers[c.Provider].collects && c.Collect.Mode != CollectOff
}

// Inspects reports whether the provider looks into processes of the target, which takes their user or a
// capability.
func (c Config) Inspects() bool { return c.byProcess() && providers[c.Provider].inspects }

// Signals reports whether processes of the target may be signalled for its heap, in mode enforce.
func (c Config) Signals() bool {
	return c.Activate != "" || c.Collects() && providers[c.Provider].signals
}

// Costly reports whether a reading more than need be is one too many: an attached inspector prints
// lines on the target's stderr, and the resident memory is known by the sweep of processes anyway.
func (c Config) Costly() bool {
	return c.Session == SessionPerSample || c.Provider == ProviderAnon
}

// byProcess reports whether the provider finds its target by the processes of the target.
func (c Config) byProcess() bool { return c.Enabled() && c.Address == "" && c.URL == "" }

// Validate applies the defaults and reports every mistake. processes says whether the target
// watches processes.
func (c *Config) Validate(processes bool, report report.Func) {
	if !c.Enabled() {
		if c.Provider == "" && *c != (Config{}) {
			report("provider", "is missing: write %s", strings.Join(providerNames(), ", "))
		}
		return
	}
	p, known := providers[c.Provider]
	if !known {
		report("provider", "%q is not a heap provider: write one of %s", c.Provider, strings.Join(providerNames(), ", "))
		return
	}
	c.checkKeys(p, report)
	switch {
	case c.Listener == "":
	case c.Listener != ListenerAny:
		report("listener", "%q is not a listener: write %s, or remove the key", c.Listener, ListenerAny)
	case c.byProcess() && slices.Contains(p.keys, "listener"):
		report("listener", "is for an address or a url, and this provider finds its target by the processes: remove the key")
	}
	if p.check != nil {
		p.check(c, p, processes, report)
	}
	if p.collects {
		c.Collect.validate(c.Provider, report)
	}
	if c.Limit < 0 {
		report("limit", "%s is not a limit: write a size above 0, such as 512MiB", c.Limit)
	}
}

// checkKeys reports the keys that stand there and mean nothing to the provider.
func (c *Config) checkKeys(p factory, report report.Func) {
	for _, k := range []struct {
		key string
		set bool
	}{
		{"address", c.Address != ""},
		{"listener", c.Listener != ""},
		{"session", c.Session != ""},
		{"activate", c.Activate != ""},
		{"url", c.URL != ""},
		{"map", c.Map != Map{}},
		{"units", c.Units != ""},
		{"limit", c.Limit != 0},
		{"collect", c.Collect != Collect{}},
	} {
		if !k.set || slices.Contains(p.keys, k.key) {
			continue
		}
		var of []string
		for _, name := range slices.Sorted(maps.Keys(providers)) {
			if slices.Contains(providers[name].keys, k.key) {
				of = append(of, name)
			}
		}
		report(k.key, "is for %s: remove the key", strings.Join(of, ", "))
	}
}

func providerNames() []string {
	return append(slices.Sorted(maps.Keys(providers)), ProviderNone)
}

// checkListener checks the address of a runtime that listens.
func checkListener(c *Config, p factory, _ bool, report report.Func) {
	c.checkAddress(p.example, p.hint, report)
}

func checkInspector(c *Config, p factory, processes bool, report report.Func) {
	if c.Address != "" || !processes {
		checkListener(c, p, processes, report)
	}
	switch {
	case c.Activate == "":
	case c.Activate != ActivateSIGUSR1:
		report("activate", "%q is not a way to open an inspector: write %s, or remove the key", c.Activate, ActivateSIGUSR1)
	case c.Address != "":
		report("activate", "opens the inspector at the port of the target's own choice: remove address")
	case c.Session == SessionPerSample:
		report("activate", "would open and close the inspector for each reading: write session: %s", SessionHeld)
	}
	if c.Session == "" {
		c.Session = SessionHeld
	}
	if c.Session != SessionHeld && c.Session != SessionPerSample {
		report("session", "%q is not a way to hold a session: write %s or %s", c.Session, SessionHeld, SessionPerSample)
	}
}

// checkDocument checks the keys of a service that reports its heap itself.
func checkDocument(c *Config, p factory, _ bool, report report.Func) {
	if u, err := url.Parse(c.URL); err == nil && u.Hostname() != "" && !loopback.Host(u.Hostname()) {
		report("url", "%q is not on this host's loopback, and a heap is read on its own host: write 127.0.0.1", u.Hostname())
	} else {
		e := c.endpoint()
		e.Validate(report)
	}
	if c.Provider == ProviderJSON {
		fetch.CheckUnits(fetch.JSON, &c.Units, report)
	}
	if c.Map.Used == "" {
		report("map.used", "is missing: write where the used bytes stand, such as %s", p.example)
	}
	if c.Map.Limit != "" && c.Limit != 0 {
		report("limit", "stands in what the service reports by map.limit: remove one of them")
	}
	for _, k := range []struct{ key, path string }{{"map.used", c.Map.Used}, {"map.committed", c.Map.Committed}, {"map.limit", c.Map.Limit}} {
		if k.path == "" {
			continue
		}
		if err := fetch.CheckPath(c.Provider, k.path); err != nil {
			report(k.key, "%v", err)
		}
	}
}

func checkAnon(_ *Config, _ factory, processes bool, report report.Func) {
	if !processes {
		report("provider", "%s is the memory of the target's processes, and it watches none: write processes, or another provider", ProviderAnon)
	}
}

func (c *Config) checkAddress(example, hint string, report report.Func) {
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
	if !loopback.Host(host) {
		report("address", "%q is not on this host's loopback, and whoever reaches that port can run code in the target: let it listen on 127.0.0.1 and write %s", c.Address, net.JoinHostPort("127.0.0.1", port))
	}
}
