package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/lazy"
	"github.com/spillway-exporter/spillway_exporter/internal/ledger"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/trend"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Alert is an active alert of the embedded evaluator.
type Alert struct {
	Name        string            `json:"name"`
	State       string            `json:"state"` // pending, firing
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Value       string            `json:"value"`
	ActiveAt    time.Time         `json:"active_at"`
}

// Rule is the state of one rule.
type Rule struct {
	Group     string `json:"group"`
	Name      string `json:"name"`
	State     string `json:"state"` // inactive, pending, firing; "" for a recording rule
	LastError string `json:"last_error,omitempty"`
}

// SourceError is a source whose last sample failed.
type SourceError struct{ Source, Target, Name, Error string }

// RunRequest is the body of POST /api/v1/run.
type RunRequest struct {
	Target   string `json:"target"`
	Playbook string `json:"playbook"`
	Action   string `json:"action"`
	DryRun   *bool  `json:"dry_run"`
	Force    bool   `json:"force"`
}

// PauseRequest is the body of POST /api/v1/pause and /api/v1/resume.
type PauseRequest struct {
	Target string         `json:"target"` // "" is all
	For    units.Duration `json:"for"`    // 0: until someone resumes
	Reason string         `json:"reason"`
	By     string         `json:"-"` // who asked
	Resume bool           `json:"-"`
}

// State is what the page shows in addition to the targets.
type State struct {
	Modes       map[string]string // by target: dry_run, propose, enforce
	Standalone  bool
	Reflex      bool // not Standalone, but the group spillway-reflex is evaluated here
	Alerts      []Alert
	Rules       []Rule
	Errors      []SourceError
	Warnings    map[string]string   // by target: what its configuration leaves open to others
	Orders      map[string][]string // by target: caches whose least recently used entries are not known
	Providers   []Provider
	Config      string    // path of the configuration; "" = embedded defaults
	LoadedAt    time.Time // when what runs was loaded
	ReloadError string    // of the last reload; "" when it succeeded
	Activity    Activity  // open runs, and cooldowns that hold
	Week        ledger.Week
	Journal     string // "" when it is durable and can be written, else what is wrong

	PrometheusURL string // "" = no link
	DashboardURL  string // with {target}; "" = no link
	DashboardHome string // of the dashboards as a whole
}

// Provider is something that is opened only when it is needed: the client of a heap, a watch.
type Provider struct {
	Name, Kind string
	Open       bool
	Opens      uint64 // since it was configured
	Failures   uint64
	LastError  string // "" when the last opening or use succeeded
}

// Access says who may use the endpoints that change something. A listener that has authenticated
// every request is enough in any case, and a token is required where there is one.
type Access struct {
	TokenFile     string // "" = no token
	TrustLoopback bool   // without a token, a caller on this host needs no proof
	PublicOutput  bool   // what steps printed or were answered is shown to all who may read the journal
}

// Options are what the handlers call. All functions are required unless their comment says
// otherwise and must be safe for concurrent use.
type Options struct {
	Store         *series.Store
	Metrics       http.Handler
	TelemetryPath string
	Submit        func(ctx context.Context, b alert.Batch) ([]alert.Disposition, error) // an error means: retry later
	RunNow        func(ctx context.Context, r RunRequest) (runID string, err error)
	Pause         func(ctx context.Context, r PauseRequest) error                 // an error that is not ErrRefused: it is in effect, but not in the journal
	Decide        func(ctx context.Context, d Decision) (runID string, err error) // an ErrGone, ErrVoid or ErrRefused; another error means: retry later
	Journal       func(f journal.Filter) (records []journal.Record, next string, err error)
	Evidence      func(target string) ([]evidence.Profile, error) // captures, the oldest first; nil: there are none
	Mappings      func(target string) *evidence.Mappings          // what its processes have mapped; nil: it is not known
	Growth        func(target string) trend.Outlook               // what is known of its growth between days; nil: nothing
	Folders       func(target string) []evidence.Folder           // what fills the folders of a target; nil: it is not known
	Advice        func(target string) []string                    // what the journal says of its steps; nil: nothing
	State         func() State
	Reload        func() error
	Ready         func() error
	Interval      func() time.Duration       // the sample interval, for staleness
	LearnHost     func(host string)          // a Host under which a caller who may change something has scraped the metrics
	Access        func() Access              // of the present configuration
	Authenticated func(*http.Request) bool   // whether the listener has made sure who sent a request; nil: it has not
	User          func(*http.Request) string // whom the listener has made sure of; "" or nil: no one
	History       History                    // nil: there is none
	Host          string                     // by which people know this host; "" is not shown
	Version       string
	Logger        *slog.Logger
	Registerer    prometheus.Registerer
	Now           func() time.Time // default time.Now

	Providers       *lazy.Set     // where the page's templates are listed; nil: nowhere
	ProviderMetrics *lazy.Metrics // nil: not counted
}

const (
	maxBodies     = 320 // requests with a body at once: more than a crowd of slow senders
	changesPerSec = 20000
	changesBurst  = 4000
	bodyTimeout   = 10 * time.Second
	retryAfter    = "5"
)

type server struct {
	Options
	page    *page
	limiter *rate.Limiter
	bodies  chan struct{}
	streams streams
	turns   turns
	judged  judged
	webhook *prometheus.CounterVec
}

// CheckTelemetryPath refuses a path that the server cannot take, or uses itself.
func CheckTelemetryPath(p string) error {
	const instead = "write one such as /metrics"
	own := slices.ContainsFunc([]string{"/static/", "/target/", "/journal/", "/api/", "/-/", "/health/"}, func(prefix string) bool { return strings.HasPrefix(p+"/", prefix) })
	switch {
	case !strings.HasPrefix(p, "/"):
		return fmt.Errorf("%q does not begin with a slash: write %q", p, "/"+p)
	case path.Clean(p) != p || strings.ContainsAny(p, " {}?#%"):
		return fmt.Errorf("%q is not the path of one page: %s", p, instead)
	case p == "/" || own:
		return fmt.Errorf("%q is a page of its own: %s", p, instead)
	}
	return nil
}

// New returns the handler of everything that the exporter serves.
func New(o Options) *Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &server{
		Options: o, page: newPage(&o), limiter: rate.NewLimiter(changesPerSec, changesBurst),
		bodies: make(chan struct{}, maxBodies), turns: newTurns(),
		webhook: metric.WebhookRequests.NewCounterVec(),
	}
	o.Registerer.MustRegister(s.webhook)
	mux := http.NewServeMux()
	mux.Handle(o.TelemetryPath, s.scrape())
	mux.HandleFunc("GET /{$}", s.index)
	mux.HandleFunc("GET /target/{name}", s.target)
	mux.HandleFunc("GET /journal", s.journalPage)
	mux.HandleFunc("GET /api/v1/{$}", s.apiPage)
	mux.HandleFunc("GET /static/", s.page.static)
	mux.HandleFunc("GET /health/memory", s.health)
	mux.HandleFunc("GET /api/v1/targets", s.targets)
	mux.HandleFunc("GET /api/v1/series", s.series)
	mux.HandleFunc("GET /api/v1/journal", s.journal)
	mux.HandleFunc("GET /api/v1/alerts", s.alerts)
	mux.HandleFunc("GET /api/v1/evidence", s.evidence)
	mux.HandleFunc("GET /api/v1/runs", s.runs)
	mux.HandleFunc("GET "+watchPath, s.watch)
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "Spillway is healthy.") })
	mux.HandleFunc("GET /-/ready", s.ready)
	mux.HandleFunc("/api/v1/webhook", s.countWebhook(s.handleWebhook))
	mux.HandleFunc("/api/v1/run", s.run)
	mux.HandleFunc("/api/v1/pause", s.pause)
	mux.HandleFunc("/api/v1/resume", s.resume)
	mux.HandleFunc("GET /api/v1/proposals", s.proposals)
	mux.HandleFunc("/api/v1/proposals/{id}/approve", s.approve)
	mux.HandleFunc("/api/v1/proposals/{id}/deny", s.deny)
	mux.HandleFunc("/-/reload", s.reload)
	mux.HandleFunc("/", s.unknown(mux))
	return &Handler{headers(mux), s}
}

// headers sets what every answer carries.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", csp)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

// unknown answers what no other handler takes: a path that there is not, or one that is read only.
func (s *server) unknown(mux *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			read := &http.Request{Method: http.MethodGet, Host: r.Host, URL: r.URL}
			if _, pattern := mux.Handler(read); pattern != "/" {
				w.Header().Set("Allow", "GET, HEAD")
				fail(w, http.StatusMethodNotAllowed, "%s is not possible here: use GET", r.Method)
				return
			}
		}
		s.notFound(w, r)
	}
}

func (s *server) notFound(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, "/health") {
		fail(w, http.StatusNotFound, "there is nothing at %s: see /api/v1/targets, /series, /runs, /proposals, /journal, /evidence, /alerts, /watch, and /health/memory", r.URL.Path)
		return
	}
	text(w, http.StatusNotFound, "There is nothing here. The status page is at /, the metrics are at "+s.TelemetryPath+".")
}

func (s *server) ready(w http.ResponseWriter, _ *http.Request) {
	if err := s.Ready(); err != nil {
		w.Header().Set("Retry-After", "1")
		text(w, http.StatusServiceUnavailable, "Spillway is not ready: "+err.Error())
		return
	}
	text(w, http.StatusOK, "Spillway is ready.")
}

func text(w http.ResponseWriter, code int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	w.Write([]byte(body + "\n"))
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	//nolint:errcheck // the reader has gone away
	json.NewEncoder(w).Encode(v)
}

func isTooLarge(err error) bool {
	var tooLarge *http.MaxBytesError
	return errors.As(err, &tooLarge)
}
