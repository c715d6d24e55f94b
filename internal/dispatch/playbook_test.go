package dispatch

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/strictyaml"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

func readPlaybooks(t *testing.T, text string) Playbooks {
	t.Helper()
	p, mistakes := decodePlaybooks(t, text)
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	return p
}

func decodePlaybooks(t *testing.T, text string) (p Playbooks, mistakes []strictyaml.Mistake) {
	t.Helper()
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	mistakes = strictyaml.Decode(root.Content[0], &p, Texts())
	return p, mistakes
}

func mistakes(check func(report report.Func)) []string {
	var out []string
	check(func(key, format string, args ...any) { out = append(out, key+": "+fmt.Sprintf(format, args...)) })
	return out
}

func TestPlaybooksYAML(t *testing.T) {
	p := readPlaybooks(t, `
relieve_memory:
  - clean_temp
  - {do: evict_cache, to: 50%, when: [critical, emergency], cooldown: 7m, timeout: 2m, verify: {after: 3, below: critical, settle: 4s}, run: always}
trim_cache: []
mine: [{do: collect_garbage, verify: {below: emergency}}]
`)
	if got := mistakes(p.Validate); got != nil {
		t.Fatal(got)
	}
	half := units.Ratio(.5)
	settle := func(d time.Duration) *units.Duration { return new(units.Duration(d)) }
	usual := Verify{After: 2, Below: series.LevelWarning, Settle: settle(0)}
	long := units.Duration(5 * time.Minute)
	want := Playbooks{
		"relieve_memory": {
			{Do: "clean_temp", Timeout: long, Verify: usual, Run: RunIfUnrelieved},
			{
				Do: "evict_cache", To: &half, When: []series.Level{series.LevelCritical, series.LevelEmergency}, Cooldown: units.Duration(7 * time.Minute),
				Timeout: units.Duration(2 * time.Minute), Verify: Verify{After: 3, Below: series.LevelCritical, Settle: settle(4 * time.Second), Written: true}, Run: RunAlways,
			},
		},
		"trim_cache": {},
		"mine":       {{Do: "collect_garbage", Timeout: long, Verify: Verify{After: 2, Below: series.LevelEmergency, Settle: settle(15 * time.Second), Written: true}, Run: RunIfUnrelieved}},
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}

	built := p.Build(func(string) bool { return true }, nil)
	type shape struct {
		Steps    string
		Subject  Subject
		Cooldown time.Duration
	}
	got := make(map[string]shape)
	for name, b := range built {
		if b.Name != name {
			t.Errorf("playbook %q is called %q", name, b.Name)
		}
		got[name] = shape{describe(b.Steps), b.Subject, b.Cooldown}
	}
	const m = time.Minute
	wantShapes := map[string]shape{
		"relieve_memory":  {"clean_temp, evict_cache to 50% (run: always)", subject.Memory, 5 * m},
		"relieve_heap":    {"capture_evidence, collect_garbage", subject.Heap, 5 * m},
		"clean_temp":      {"clean_temp", subject.Temp, 5 * m},
		"enforce_uploads": {"enforce_uploads", Subject(policy.KindUpload), 5 * m},
		"rotate_logs":     {"rotate_logs", Subject(policy.KindLog), 5 * m},
		"on_exit":         {"clean_temp", subject.Temp, 5 * m},
		"mine":            {"collect_garbage", subject.Heap, 5 * m},
	}
	if diff := cmp.Diff(wantShapes, got); diff != "" {
		t.Errorf("built (-want +got):\n%s", diff)
	}
}

func TestDefaultsWithoutMeans(t *testing.T) {
	only := func(names ...string) func(string) bool {
		return func(a string) bool { return strings.Contains(strings.Join(names, " "), a) }
	}
	f := func(has func(string) bool, want map[string]string) {
		t.Helper()
		got := make(map[string]string)
		for name, b := range Playbooks(nil).Build(has, nil) {
			got[name] = describe(b.Steps)
			for _, s := range b.Steps {
				if s.Timeout == 0 || s.Verify.After == 0 {
					t.Errorf("%s: a default step without defaults: %+v", name, s)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("playbooks (-want +got):\n%s", diff)
		}
	}
	f(only(), map[string]string{})
	f(only(action.NameCleanTemp), map[string]string{"relieve_memory": "clean_temp", "clean_temp": "clean_temp", "on_exit": "clean_temp"})
	f(only(action.NameEvictCache, action.NameCollectGarbage), map[string]string{
		"relieve_memory": "evict_cache, collect_garbage", "trim_cache": "evict_cache", "relieve_heap": "collect_garbage",
	})
}

func TestSubjectAndCooldownOfOwnPlaybooks(t *testing.T) {
	p := readPlaybooks(t, `
a: [clean_temp, clean_temp]
b: [clean_temp, evict_cache]
c: [{do: evict_cache, cooldown: 30s}, {do: evict_cache, cooldown: 1h}]
d: [{do: evict_cache, cooldown: 1h}, evict_cache]
`)
	built := p.Build(func(string) bool { return true }, nil)
	f := func(name string, subject Subject, cooldown time.Duration) {
		t.Helper()
		if b := built[name]; b.Subject != subject || b.Cooldown != cooldown {
			t.Errorf("%s: subject %s, cooldown %s, want %s and %s", name, b.Subject, b.Cooldown, subject, cooldown)
		}
	}
	f("a", subject.Temp, 5*time.Minute)
	f("b", subject.Memory, 5*time.Minute)
	f("c", subject.Cache, 30*time.Second)
	f("d", subject.Cache, 5*time.Minute)
}

func TestPlaybookMistakes(t *testing.T) {
	p := readPlaybooks(t, `
mine: []
"with space": [clean_temp]
a: [format_disk, {to: 50%}, {do: clean_temp, to: 50%}, {do: evict_cache, to: 0%}]
b: [{do: clean_temp, timeout: 100ms, cooldown: 8d}]
c: [clean_temp, evict_cache, collect_garbage]
`)
	want := []string{
		`a[0].do: "format_disk" is neither an action nor a playbook: write one of ` + strings.Join(action.Names(), ", ") +
			", or a playbook, one of a, b, c, clean_temp, enforce_uploads, mine, on_exit, relieve_heap, relieve_memory, rotate_logs, trim_cache, with space",
		`a[1].do: is missing: write an action, one of ` + strings.Join(action.Names(), ", "),
		`a[1].to: is for evict_cache: remove the key`,
		`a[2].to: is for evict_cache: remove the key`,
		`a[3].to: 0% would empty the cache: write a share above 0%, such as 50%`,
		`b[0].timeout: 100ms is out of range: write 1s to 1d`,
		`b[0].cooldown: 8d is out of range: write up to 7d`,
		`mine: has no steps: write at least one, such as [clean_temp]`,
		`with space: "with space" is not a name: write 1 to 63 letters, digits, '_', '.' or '-', beginning with a letter or digit`,
	}
	if diff := cmp.Diff(want, mistakes(p.Validate)); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
	got := mistakes(func(report report.Func) {
		p.CheckActions(func(a string) bool { return a == action.NameCleanTemp }, report)
	})
	want = []string{
		`a[3].do: "evict_cache" has nothing to work on: write caches for this target, or remove the step`,
		`c[1].do: "evict_cache" has nothing to work on: write caches for this target, or remove the step`,
		`c[2].do: "collect_garbage" has nothing to work on: write a heap that can be collected, such as heap: {provider: node_inspector, address: 127.0.0.1:9229} for this target, or remove the step`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("means (-want +got):\n%s", diff)
	}
	many := Playbooks{"a": make([]Step, maxSteps+1)}
	for i := range maxPlaybooks {
		many[fmt.Sprint("p", i)] = []Step{{Do: action.NameCleanTemp}}
	}
	text := strings.Join(mistakes(many.Validate), "\n")
	for _, says := range []string{": 51 playbooks are too many: write at most 50", "a: 21 steps are too many: write at most 20"} {
		if !strings.Contains(text, says) {
			t.Errorf("no %q in %s", says, text)
		}
	}
}

func TestStepYAMLMistakes(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		_, errs := decodePlaybooks(t, "p:\n  - "+text)
		var got []string
		for _, e := range errs {
			if e.Line != 2 {
				t.Errorf("%s: line %d, want 2", text, e.Line)
			}
			got = append(got, strings.TrimPrefix(e.Key, "p[0]")+": "+e.Msg)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	f("[clean_temp]", ": is a list: write keys and values, such as {do: ...}")
	f("7", ": is a single value: write keys and values, such as {do: ...}")
	f("{do: clean_temp, colldown: 5m, do: x}", `.colldown: unknown key: did you mean "cooldown"?`, ".do: stands twice, first in line 2: remove one")
	f("{do: clean_temp, nonsense: 1}", ".nonsense: unknown key: write one of do, to, when, cooldown, timeout, verify, run, when_open, act_before, mode")
	f("{do: command, nonsense: 1}", ".nonsense: unknown key: write one of do, to, when, cooldown, timeout, verify, run, when_open, act_before, mode, argv, env")
	f("{do: [a], to: half, cooldown: , timeout: soon}",
		".do: is a list: write a single value",
		`.to: "half" is not a ratio: write 70% or 0.7`,
		".cooldown: has no value: write one or remove the key",
		`.timeout: "soon" is not a duration: write a number with a unit, such as 30s, 5m, 48h, 2d or 1w`)
	f("{do: clean_temp, when: critical}", ".when: is a single value: write a list, such as [a, b] or lines that begin with '- '")
	f("{do: clean_temp, when: [normal]}", `.when[0]: "normal" is not a level: write warning, critical or emergency`)
	f("{do: clean_temp, verify: 2}", ".verify: is a single value: write keys and values, such as {after: ...}")
	f("{do: clean_temp, verify: {after: 0, below: high, until: 3}}",
		`.verify.after: "0" is not a number of samples: write 1 to 100`,
		`.verify.below: "high" is not a level: write warning, critical or emergency`,
		".verify.until: unknown key: write one of after, below, settle")
}

// TestSettingsOfEveryAction: each setting of each action is read below its action, and refused below
// any other with the name of its own.
func TestSettingsOfEveryAction(t *testing.T) {
	for _, spec := range action.Table {
		if spec.Settings == nil {
			continue
		}
		typ := reflect.TypeOf(spec.Settings()).Elem()
		for f := range typ.Fields() {
			key, _ := strictyaml.KeyOf(f)
			value := map[reflect.Kind]string{reflect.Slice: "[a]", reflect.Bool: "true", reflect.Int64: "64MiB"}[f.Type.Kind()]
			switch {
			case key == "ready":
				value = "30s"
			case key == "drain":
				value = "{post: x}"
			case key == "budget":
				value = "{at_most: 2}"
			case value == "":
				value = "text"
			}
			p, errs := decodePlaybooks(t, "p: [{"+key+": "+value+", do: "+spec.Name+"}]")
			if len(errs) > 0 || reflect.ValueOf(p["p"][0].With).Elem().FieldByIndex(f.Index).IsZero() {
				t.Errorf("%s: %s is not read: %v", spec.Name, key, errs)
			}
			for _, other := range action.Names() {
				_, errs := decodePlaybooks(t, "p:\n- {do: "+other+", "+key+": "+value+"}")
				if other != spec.Name && (len(errs) != 1 || errs[0].Line != 2 || errs[0].Msg != "is for "+spec.Name+": remove the key") {
					t.Errorf("%s below %s: %v", key, other, errs)
				}
			}
			if f.Type.Kind() == reflect.String {
				if _, errs := decodePlaybooks(t, "p: [{do: "+spec.Name+", "+key+": ''}]"); len(errs) != 1 || !strings.HasPrefix(errs[0].Msg, "is empty") {
					t.Errorf("%s without text: %v", key, errs)
				}
			}
		}
	}
}

func TestStepAlias(t *testing.T) {
	p := readPlaybooks(t, "a: [{do: clean_temp, timeout: &t 9m}]\nb: [{do: evict_cache, timeout: *t}]\n")
	if got := p["b"][0].Timeout.Std(); got != 9*time.Minute {
		t.Errorf("timeout by an alias: %s", got)
	}
}
