package config

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/strictyaml"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// prober asks the real decoder and the real checks what they think of a value of a key.
type prober struct {
	base  string              // a configuration with one of everything and what that requires
	files []any               // files that exist: one line, a certificate, and a URL
	seen  map[string][]string // the choices of each key, by its path
}

// baseDoc holds one of everything, with the keys that are required and no others.
const baseDoc = `
discover: {}
thresholds: {}
instance: host1:10042
webhook: {}
journal: {}
alertmanager: {pull: ['http://127.0.0.1:9093'], interval: 10m}
windows: {mine: [{weekdays: [saturday], times: [{start_time: '02:00', end_time: '04:00'}]}]}
watchers:
  - {on: [warning], post: 'http://127.0.0.1:4545/pressure'}
targets:
  - name: one
    processes: {match: {comm: node}, exclude: {user: '0'}}
    memory: {}
    heap: {provider: node_inspector, address: '127.0.0.1:9229'}
    app: {url: 'http://127.0.0.1:4545/stats', map: {cache_hits: cache.hits, cache_misses: cache.misses}}
    probe: {url: 'http://127.0.0.1:4545/health'}
    caches: [{name: a, dir: /srv/spillway-a, include: ['*'], max_age: 2d}]
    temp_dirs: [{name: b, dir: /srv/spillway-b, include: ['*'], max_age: 1h}]
    uploads: [{name: c, dir: /srv/spillway-c, max_age: 1d}]
    logs: [{name: d, dir: /srv/spillway-d, include: ['*.log'], max_bytes: 100MiB}]
    playbooks: {mine: [{do: evict_cache, verify: {}}], other: [clean_temp, mine]}
    guards: {mine: {budget: {at_most: 3, per: 24h}, when_open: mine}}
`

// baseCache is the name of the base's only cache.
const baseCache = "a"

func newProber(t testing.TB) *prober {
	t.Helper()
	p := &prober{base: baseDoc, seen: make(map[string][]string)}
	server := httptest.NewTLSServer(nil)
	server.Close()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for i, content := range [][]byte{[]byte("secret\n"), certificate, []byte("http://127.0.0.1:4545/\n")} {
		file := filepath.Join(t.TempDir(), strconv.Itoa(i))
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		p.files = append(p.files, file)
	}
	return p
}

// alternatives are what has to be written in place of the base for the keys that it excludes.
var alternatives = [][]with{
	{{"watchers[].post", nil}, {"watchers[].command", []any{"/bin/true"}}},
	{{"alertmanager.username", "spillway"}},
	{{"watchers[].post", nil}},
	{{"targets[].app.url", nil}},
	{{"targets[].probe.url", nil}},
	{{"targets[].temp_dirs[].max_files", 100}},
	{{"discover.groups", []any{map[string]any{"name": "{{.Comm}}", "match": map[string]any{"comm": "node"}}}}},
}

// with is a key, by its path, and the value that it is given; nil removes it.
type with struct {
	path  string
	value any
}

// parse reads the base with some keys changed.
func (p *prober) parse(t testing.TB, changes ...with) (*Config, Errors) {
	t.Helper()
	raw := p.changed(t, changes...)
	c, errs := parse("f.yml", []byte(raw), new(Checks))
	if c == nil {
		t.Fatalf("%s: %v", raw, errs)
	}
	return c, errs
}

// put sets a value; a step of the path that ends in [] goes to the first element of a list.
func put(doc map[string]any, path []string, value any) {
	name, list := strings.CutSuffix(path[0], "[]")
	if len(path) == 1 {
		if value == nil {
			delete(doc, name)
		} else {
			doc[name] = value
		}
		return
	}
	if list {
		items, _ := doc[name].([]any)
		if len(items) == 0 {
			items = []any{map[string]any{}}
			doc[name] = items
		}
		put(items[0].(map[string]any), path[1:], value)
		return
	}
	below, _ := doc[name].(map[string]any)
	if below == nil {
		below = make(map[string]any)
		doc[name] = below
	}
	put(below, path[1:], value)
}

// complaints returns what is said about the key of a path when it is given a value.
func (p *prober) complaints(t testing.TB, path string, value any, others ...with) []string {
	t.Helper()
	_, errs := p.parse(t, append(slices.Clone(others), with{path, value})...)
	key := strings.ReplaceAll(path, "[]", "[0]")
	var out []string
	for _, e := range errs {
		if e.Key == key || strings.HasPrefix(e.Key, key+"[") || strings.HasPrefix(e.Key, key+".") {
			out = append(out, e.Msg)
			continue
		}
		below, isBelow := strings.CutPrefix(key, e.Key+".") // a type that decodes itself names its keys in the message
		if msg, ok := strings.CutPrefix(e.Msg, strings.ReplaceAll(below, ".", ": ")+": "); ok && isBelow {
			out = append(out, msg)
		} else if isBelow && strings.Contains(key, ".playbooks.") && strings.HasSuffix(e.Msg, ": remove the key") { // it is none here, and so neither is what is below it
			out = append(out, e.Msg)
		}
	}
	return out
}

// value is what the key of a path holds when it is not written, or when others are.
func (p *prober) value(t testing.TB, path string, others ...with) reflect.Value {
	t.Helper()
	c, _ := p.parse(t, append(slices.Clone(others), with{path, nil})...)
	v := reflect.ValueOf(c).Elem()
	for step := range strings.SplitSeq(path, ".") {
		name, list := strings.CutSuffix(step, "[]")
		for v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() == reflect.Map {
			v = v.MapIndex(reflect.ValueOf(name))
		} else {
			v = fieldOf(v, name)
		}
		if list {
			v = v.Index(0)
		}
	}
	return v
}

// fieldOf returns the field of a key, which may be one of the settings of a step.
func fieldOf(v reflect.Value, name string) reflect.Value {
	if field, ok := strictyaml.FieldsOf(v)[name]; ok {
		return field
	}
	if s, ok := reflect.TypeAssert[dispatch.Step](v); ok && s.With != nil {
		return strictyaml.FieldsOf(reflect.ValueOf(s.With).Elem())[name]
	}
	return reflect.Value{}
}

// required reports whether the key is missed when it is not written, be there others next to it or
// none.
func (p *prober) required(t testing.TB, path string) bool {
	t.Helper()
	missed := func(others ...with) bool {
		return slices.ContainsFunc(p.complaints(t, path, nil, others...), func(msg string) bool { return strings.HasPrefix(msg, "is missing: ") })
	}
	parent := path[:max(strings.LastIndex(path, "."), 0)]
	if parent == "" || !missed() {
		return false
	}
	parent, list := strings.CutSuffix(parent, "[]")
	if list {
		return missed(with{parent, []any{map[string]any{}}})
	}
	return missed(with{parent, map[string]any{}})
}

// word is the form of the values that a key lets one choose from.
var word = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// choices returns the values that a key of text can have, when it takes only some: those that the
// message about another one names and that are then accepted.
func (p *prober) choices(t testing.TB, path string, list bool) []string {
	t.Helper()
	if known, ok := p.seen[path]; ok {
		return known
	}
	wrap := func(s string) any {
		if list {
			return []any{s}
		}
		return s
	}
	var out []string
	for _, msg := range p.complaints(t, path, wrap("?")) {
		_, hint, _ := strings.Cut(msg, ": write ")
		if _, after, ok := strings.Cut(hint, "one of "); ok {
			hint, _, _ = strings.Cut(after, ", or a")
		}
		hint = regexp.MustCompile(` \([^)]*\)`).ReplaceAllString(hint, "")
		tokens := strings.Split(strings.ReplaceAll(hint, " or ", ", "), ", ")
		bad := slices.ContainsFunc(tokens, func(s string) bool {
			return !word.MatchString(s) || len(p.complaints(t, path, wrap(s))) > 0
		})
		if len(tokens) > 1 && !bad {
			out = tokens
		}
	}
	p.seen[path] = out
	return out
}

// ladders are the values from which the bounds of a key are searched.
var ladders = map[reflect.Type][]int64{
	reflect.TypeFor[units.Duration]():   {int64(time.Millisecond), int64(time.Second), int64(30 * time.Second), int64(10 * time.Minute), int64(2 * time.Hour), int64(3 * 24 * time.Hour), int64(300 * 24 * time.Hour), int64(10 * 365 * 24 * time.Hour)},
	reflect.TypeFor[units.Bytes]():      {1, 1 << 10, 1 << 21, 1 << 28, 1 << 31, 1 << 40, 1 << 50},
	reflect.TypeFor[dispatch.Samples](): {0, 1, 5, 15, 50, 200, 2000},
	reflect.TypeFor[int]():              {0, 1, 5, 15, 50, 200, 2000, 20000, 1 << 20, 1 << 30},
	reflect.TypeFor[int64]():            {0, 1, 5, 15, 50, 200, 2000, 20000, 1 << 20, 1 << 30},
}

// grain is the smallest difference between two bounds that is reported.
func grain(t reflect.Type) int64 {
	if t == reflect.TypeFor[units.Duration]() {
		return int64(time.Second)
	}
	return 1
}

func written(t reflect.Type, n int64) string {
	if t == reflect.TypeFor[units.Duration]() {
		return units.Duration(n).String()
	}
	return strconv.FormatInt(n, 10)
}

// bounds returns the smallest and the largest value that a key accepts, as far as the ladder of
// its type goes; "" where it has no such end.
func (p *prober) bounds(t testing.TB, path string, typ reflect.Type, optional bool, others []with) (low, high string) {
	t.Helper()
	ladder := ladders[typ]
	if !optional && len(ladder) > 0 && ladder[0] == 0 {
		ladder = ladder[1:] // 0 is as if the key were not there
	}
	ok := func(n int64) bool {
		var v any = written(typ, n)
		if typ.Kind() != reflect.Int64 || typ == reflect.TypeFor[int64]() {
			v = n
		}
		return len(p.complaints(t, path, v, others...)) == 0
	}
	first := slices.IndexFunc(ladder, ok)
	if first < 0 {
		return "", ""
	}
	last := len(ladder) - 1
	for !ok(ladder[last]) {
		last--
	}
	show := func(n int64) string {
		if typ == reflect.TypeFor[units.Bytes]() {
			return units.Bytes(n).String()
		}
		return written(typ, n)
	}
	if first > 0 {
		low = show(search(ladder[first-1], ladder[first], grain(typ), ok))
	}
	if last < len(ladder)-1 {
		high = show(search(ladder[last+1], ladder[last], grain(typ), ok))
	}
	return low, high
}

// search returns the accepted value next to the refused ones between bad and good.
func search(bad, good, grain int64, ok func(int64) bool) int64 {
	bad, good = bad/grain, good/grain
	for bad-good > 1 || good-bad > 1 {
		if mid := bad + (good-bad)/2; ok(mid * grain) {
			good = mid
		} else {
			bad = mid
		}
	}
	return good * grain
}

// samples are values of which at least one should be accepted by any key of a type.
func (p *prober) samples(typ reflect.Type) []any {
	texts := []any{"one", "?", "/srv/spillway-x", "127.0.0.1:9229", "http://127.0.0.1:4545/x", "SIGUSR2", "0", "nginx.service", "host1:10042"}
	texts = append(texts, p.files...)
	switch typ.Kind() {
	case reflect.Bool:
		return []any{true}
	case reflect.Float64:
		return []any{"75%", "90%", "97%", "1%"}
	case reflect.Slice:
		var out []any
		for _, v := range texts {
			out = append(out, []any{v})
		}
		return append(out, []any{"/bin/true"}, []any{"warning"}, []any{}, []any{"PATH"}, []any{"saturday"}, []any{"1"}, []any{map[string]any{}})
	case reflect.Map:
		var out []any
		for _, v := range texts {
			out = append(out, map[string]any{"one": v})
		}
		return append(out, map[string]any{})
	case reflect.Struct:
		return []any{map[string]any{}}
	case reflect.Int, reflect.Int64:
		var out []any
		for _, n := range ladders[typ] {
			out = append(out, written(typ, n))
			if typ == reflect.TypeFor[int]() || typ == reflect.TypeFor[int64]() {
				out[len(out)-1] = n
			}
		}
		return append(out, []any{"/srv"}, "warning")
	}
	return append(texts, "/bin/true", "*", "warning", "enforce", "dry_run", "stem", "podman", "app.service", "mine", "Local", "02:00", "04:00", "limit")
}

// context returns the other keys that have to be written so that the key is accepted at all: none,
// or a choice of one next to it. ok is false where every value is refused in all of them.
func (p *prober) context(t testing.TB, path string, typ reflect.Type, siblings []string) (others []with, ok bool) {
	t.Helper()
	if typ.Kind() == reflect.Struct || structBelow(typ) != nil && strings.Contains(p.base, path[strings.LastIndex(path, ".")+1:]+":") {
		return nil, true // it is what its own keys are
	}
	tries := append([][]with{nil}, alternatives...)
	for _, sibling := range siblings {
		for _, choice := range p.seen[sibling] {
			tries = append(tries, []with{{sibling, choice}})
		}
	}
	for _, others := range tries {
		for _, v := range append(p.samples(typ), anySlice(p.seen[path])...) {
			if len(p.complaints(t, path, v, others...)) == 0 {
				return others, true
			}
		}
	}
	return nil, false
}

func anySlice(in []string) []any {
	var out []any
	for _, s := range in {
		out = append(out, s, []any{s})
	}
	return out
}

// changed returns the base with some keys changed.
func (p *prober) changed(t testing.TB, changes ...with) string {
	t.Helper()
	var doc map[string]any
	if err := yaml.Unmarshal([]byte(p.base), &doc); err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		put(doc, strings.Split(c.path, "."), c.value)
	}
	raw, err := yaml.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// join is the path of a key below another.
func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}
