package heap

import "github.com/spillway-exporter/spillway_exporter/internal/report"

// The providers.
const (
	ProviderNode       = "node_inspector" // V8 inspector of Node.js
	ProviderAgent      = "node_agent"     // preload script of a Node.js service
	ProviderPython     = "python_agent"   // preload modules of a Python service
	ProviderGo         = "go_pprof"       // net/http/pprof of a Go program
	ProviderJVM        = "jvm"            // counters and attach socket of a Java virtual machine
	ProviderPrometheus = "prometheus"     // the service's own metrics
	ProviderJSON       = "json"           // a JSON document of the service
	ProviderAnon       = "rss_anon"       // anonymous resident memory, for runtimes that report nothing
	ProviderNone       = "none"           // the heap is not read
)

// factory makes the client of a provider; nothing is opened before the first reading.
type factory struct {
	runtime  string   // label of the metrics
	example  string   // an address, or a place of a value, as it stands in a config
	hint     string   // how to start a target so that it listens there
	keys     []string // of the config, that mean something to it
	collects bool     // it can ask for a collection
	inspects bool     // it looks into the processes that it finds by itself
	signals  bool     // it may signal them, for a collection
	check    func(c *Config, p factory, processes bool, report report.Func)
	open     func(p *Pool, cfg Config, of *target) (backend, error)
}

// providers is the table of providers. A new one is a row here and a file of its own.
var providers = map[string]factory{
	ProviderNode: {
		runtime: "node", example: "127.0.0.1:9229", hint: "start node with --inspect=127.0.0.1:9229",
		keys: []string{"address", "listener", "session", "activate", "collect"}, collects: true, inspects: true, check: checkInspector, open: newInspector,
	},
	ProviderGo: {
		runtime: "go", example: "127.0.0.1:6060", hint: "serve net/http/pprof there",
		keys: []string{"address", "listener", "limit", "collect"}, collects: true, check: checkListener, open: newPprof,
	},
	ProviderPrometheus: {
		runtime: "prometheus", example: "nodejs_heap_size_used_bytes",
		keys: []string{"url", "listener", "map", "limit"}, check: checkDocument, open: newDocument,
	},
	ProviderJSON: {
		runtime: "json", example: "memory.heapUsed",
		keys: []string{"url", "listener", "map", "units", "limit"}, check: checkDocument, open: newDocument,
	},
	ProviderAgent: {
		runtime: "node", keys: []string{"collect"}, collects: true, inspects: true, check: checkScriptAgent, open: newNodeAgent,
	},
	ProviderPython: {
		runtime: "python", keys: []string{"limit", "collect"}, collects: true, inspects: true, check: checkScriptAgent, open: newPythonAgent,
	},
	ProviderJVM: {
		runtime: "jvm", keys: []string{"collect"}, collects: true, inspects: true, signals: true, check: checkJVM, open: newJVM,
	},
	ProviderAnon: {
		runtime: "rss_anon", keys: []string{"limit"}, check: checkAnon, open: newAnon,
	},
}
