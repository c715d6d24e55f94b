package action

import (
	"log/slog"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/needs"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/restart"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

// The names of the actions, as a step has them.
const (
	NameCleanTemp       = "clean_temp"
	NameEvictCache      = "evict_cache"
	NameCollectGarbage  = "collect_garbage"
	NameCaptureEvidence = "capture_evidence"
	NameEnforceUploads  = "enforce_uploads"
	NameRotateLogs      = "rotate_logs"
	NameReclaim         = "reclaim_cgroup"
	NameHTTP            = "http"
	NameCommand         = "command"
	NameSignal          = "signal"
	NameRestart         = "restart"
)

// Spec is a row of the table of actions. A new action is a row here and a file of its own; one that
// enforces directory policies has its row from policy.Kinds.
type Spec struct {
	Name    string
	Subject subject.Name // what it relieves; "" = what its step says, which is unknown
	Needs   string       // what a target has to have; "" = nothing
	Kind    string       // of the directory policies that it enforces; "" for other actions
	Host    needs.Name   // what it takes of the host; "" = nothing

	Removes     bool // it frees files or space
	Last        bool // it is the last resort: the last step of a playbook, and only at levels that are written
	Observes    bool // it only looks: it relieves nothing, and a playbook goes on whatever it came to
	PassesAlert bool // it passes on the alert that began the run

	Settings func() Settings     // what its step gives it; nil = nothing
	has      func(*Means) bool   // whether a target has what it needs
	make     func(*Means) Action // for a target that has
}

// Table are all actions, in the order in which they are listed.
var Table = append(dirSpecs(), []Spec{
	{
		Name: NameCollectGarbage, Subject: subject.Heap,
		Needs: "a heap that can be collected, such as heap: {provider: node_inspector, address: 127.0.0.1:9229}",
		has:   func(m *Means) bool { return m.Collects },
		make: func(m *Means) Action {
			return NewCollectGarbage(CollectGarbageOptions{Target: m.Target, Collector: m.Heap, MaxHeap: m.Collect.MaxHeap, Logger: m.Logger, Now: m.Now})
		},
	},
	{
		Name: NameCaptureEvidence, Observes: true,
		Needs: "a heap of a runtime that has a profile, such as heap: {provider: node_agent}, and not evidence: off",
		has:   func(m *Means) bool { return m.Captures },
		make: func(m *Means) Action {
			return NewCaptureEvidence(CaptureEvidenceOptions{Target: m.Target, Capture: m.Capture, Logger: m.Logger})
		},
	},
	{
		Name: NameReclaim, Subject: subject.Memory, Needs: "processes", Host: needs.Reclaim, Settings: func() Settings { return new(ReclaimSettings) },
		has: (*Means).hasProcesses,
		make: func(m *Means) Action {
			return NewReclaimCgroup(ReclaimOptions{Cgroup: m.Cgroup, Members: m.Members, Sysfs: m.SysFS, Logger: m.Logger})
		},
	},
	{
		Name: NameHTTP, PassesAlert: true, Settings: func() Settings { return new(HTTPSettings) },
		has: always, make: func(m *Means) Action { return NewHTTP(m.Logger) },
	},
	{
		Name: NameCommand, PassesAlert: true, Host: needs.Command, Settings: func() Settings { return new(CommandSettings) },
		has: always, make: func(m *Means) Action { return NewCommand(m.Logger) },
	},
	{
		Name: NameSignal, Needs: "processes", Host: needs.Signal, Settings: func() Settings { return new(SignalSettings) },
		has: (*Means).hasProcesses,
		make: func(m *Means) Action {
			return NewSignal(SignalOptions{Members: m.Members, Logger: m.Logger})
		},
	},
	{
		Name: NameRestart, Subject: subject.Memory, Host: needs.Restart, Last: true, Settings: func() Settings { return new(RestartSettings) },
		has: always, make: func(m *Means) Action {
			return NewRestart(RestartOptions{Target: m.Target, Service: m.Service, Ledger: m.Restarts, Open: restart.Open, Capture: m.Capture, Logger: m.Logger, Now: m.Now})
		},
	},
}...)

// Means are what a target gives its actions to work with. Has needs Folders, Collects, Captures and Processes
// alone.
type Means struct {
	Folders   *policy.Folders
	Collects  bool // it has a heap that can be collected
	Captures  bool // it has a heap whose evidence can be captured
	Processes bool // it has processes

	Target  string
	Dirs    DirOptions
	Heap    heap.Collector
	Collect heap.Collect
	Capture EvidenceFunc
	Members func() []proc.Member   // its processes at present
	Cgroup  func() (string, error) // as ReclaimOptions have it
	SysFS   string
	Service restart.Service
	// Restarts remembers restarts; nil where nothing is restarted.
	Restarts *restart.Ledger
	Logger   *slog.Logger
	Now      func() time.Time
}

func (m *Means) hasProcesses() bool { return m.Processes }

func always(*Means) bool { return true }

// dirSpecs returns the rows of the actions that enforce directory policies.
func dirSpecs() []Spec {
	var out []Spec
	for _, k := range policy.Kinds {
		out = append(out, Spec{
			Name: k.Action, Subject: subject.Name(k.Name), Needs: k.Key, Kind: k.Name, Host: needs.Remove, Removes: true,
			has:  func(m *Means) bool { return len(m.Folders.Of(k.Name)) > 0 },
			make: func(m *Means) Action { return NewDirs(m.Dirs, k.Name, m.Folders) },
		})
	}
	return out
}

// SpecOf returns the row of an action.
func SpecOf(name string) (s Spec, ok bool) {
	i := slices.IndexFunc(Table, func(s Spec) bool { return s.Name == name })
	if i < 0 {
		return s, false
	}
	return Table[i], true
}

// Names returns the names of all actions, in the order in which they are listed.
func Names() []string {
	out := make([]string, len(Table))
	for i := range Table {
		out[i] = Table[i].Name
	}
	return out
}

// Has reports whether a target with these means can do an action.
func (m *Means) Has(name string) bool {
	s, ok := SpecOf(name)
	return ok && s.has(m)
}

// Make returns the actions that a target with these means can do, by their names.
func (m *Means) Make() map[string]Action {
	out := make(map[string]Action)
	for i := range Table {
		if s := &Table[i]; s.has(m) {
			out[s.Name] = s.make(m)
		}
	}
	return out
}

// NewSettings returns empty settings of an action, nil for one that takes none or does not exist.
func NewSettings(name string) Settings {
	if s, ok := SpecOf(name); ok && s.Settings != nil {
		return s.Settings()
	}
	return nil
}
