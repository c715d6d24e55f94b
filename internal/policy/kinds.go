package policy

import (
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// The kinds of directory policies, as results, sources, metrics and subjects name them.
const (
	KindCache  = "cache"
	KindTemp   = "temp"
	KindUpload = "upload"
	KindLog    = "log"
)

// Folders are the directory policies of one target.
type Folders struct {
	Caches   []Cache  `yaml:"caches"`    // file caches, trimmed to their limits
	TempDirs []Temp   `yaml:"temp_dirs"` // folders of temporary files
	Uploads  []Upload `yaml:"uploads"`   // folders that users send files to
	Logs     []Log    `yaml:"logs"`      // folders of logs, rotated
}

// Kind is a row of the table of kinds of directory policies. A new kind is a row here, its policy
// next to it, its meter in collector and its work in action.
type Kind struct {
	Name     string // such as "temp"
	Key      string // of the list of its policies in a target
	Action   string // what enforces it
	Playbook string // that every target with such a policy has; its one step is the action
	Noun     string // what is spoken of, such as "uploads"

	Title string       // heading on the status page
	Chart *series.Desc // what is drawn there
	Count *series.Desc // how many files there are, by which a folder that fills is seen

	of    func(*Folders) []Policy
	clone func(*Folders)
}

// Kinds are all kinds, in the order of their keys in the documentation.
var Kinds = []Kind{
	row(Kind{Name: KindCache, Key: "caches", Action: "evict_cache", Playbook: "trim_cache", Noun: "cache", Title: "Caches", Chart: metric.CacheSize, Count: metric.CacheEntries}, func(f *Folders) *[]Cache { return &f.Caches }),
	row(Kind{Name: KindTemp, Key: "temp_dirs", Action: "clean_temp", Playbook: "clean_temp", Noun: "temp", Title: "Temporary files", Chart: metric.TempFiles, Count: metric.TempFiles}, func(f *Folders) *[]Temp { return &f.TempDirs }),
	row(Kind{Name: KindUpload, Key: "uploads", Action: "enforce_uploads", Playbook: "enforce_uploads", Noun: "uploads", Title: "Uploads", Chart: metric.UploadSize, Count: metric.UploadFiles}, func(f *Folders) *[]Upload { return &f.Uploads }),
	row(Kind{Name: KindLog, Key: "logs", Action: "rotate_logs", Playbook: "rotate_logs", Noun: "logs", Title: "Logs", Chart: metric.LogSize, Count: metric.LogFiles}, func(f *Folders) *[]Log { return &f.Logs }),
}

// Policy is what every directory policy can say, whatever its kind.
type Policy interface {
	CommonKeys() *Common
	Validate(report report.Func) // applies the defaults and reports every mistake
	Schedule() time.Duration     // between two runs without an alert; 0 = none
	Places() []Place             // every folder of this host that it names, its root first if that is one
}

// KeyQuarantine is the key of a folder that files are moved into in place of being removed.
const KeyQuarantine = "quarantine"

// Place is a folder that a policy names.
type Place struct {
	Key string  // of the policy
	Dir *string // what is written there; "" where nothing is
}

// policyOf is a pointer to a policy of one kind.
type policyOf[P any] interface {
	*P
	Policy
}

// row completes a row with access to the policies of its kind.
func row[P any, PP policyOf[P]](k Kind, list func(*Folders) *[]P) Kind {
	k.of = func(f *Folders) []Policy {
		policies := *list(f)
		out := make([]Policy, len(policies))
		for i := range policies {
			out[i] = PP(&policies[i])
		}
		return out
	}
	k.clone = func(f *Folders) { p := list(f); *p = slices.Clone(*p) }
	return k
}

// Keys returns the keys of a target that hold directory policies.
func Keys() []string {
	out := make([]string, len(Kinds))
	for i := range Kinds {
		out[i] = Kinds[i].Key
	}
	return out
}

// KindOf returns the row of a kind.
func KindOf(name string) (k Kind, ok bool) {
	for i := range Kinds {
		if Kinds[i].Name == name {
			return Kinds[i], true
		}
	}
	return Kind{}, false
}

// Of returns the policies of a kind, in place: what is changed in one is changed in f.
func (f *Folders) Of(kind string) []Policy {
	if k, ok := KindOf(kind); ok {
		return k.of(f)
	}
	return nil
}

// Empty reports whether there is no policy of any kind.
func (f *Folders) Empty() bool {
	return !slices.ContainsFunc(Kinds, func(k Kind) bool { return len(k.of(f)) > 0 })
}

// Rooted returns a copy in which join was applied to every folder that a policy names.
func (f *Folders) Rooted(join func(string) string) *Folders {
	out := *f
	for i := range Kinds {
		Kinds[i].clone(&out)
		for _, p := range Kinds[i].of(&out) {
			p.CommonKeys().LinkRoot = p.CommonKeys().Dir
			for _, place := range p.Places() {
				if *place.Dir != "" {
					*place.Dir = join(*place.Dir)
				}
			}
		}
	}
	return &out
}

// CommonKeys returns the keys that every policy has.
func (c *Common) CommonKeys() *Common { return c }

// Schedule returns 0: a policy without the key every has no schedule.
func (c *Common) Schedule() time.Duration { return 0 }

// KeyDir is the key of the root.
const KeyDir = "dir"

// Places returns the root, where it is named by a path on this host.
func (c *Common) Places() []Place {
	if c.Foreign() {
		return nil
	}
	return []Place{{Key: KeyDir, Dir: &c.Dir}}
}
