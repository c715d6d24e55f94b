package fetch

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// show writes a value as "12.5" or "error: ...", which is what the tests below compare.
func show(v Value) string {
	if v.Err != nil {
		return "error: " + v.Err.Error()
	}
	return fmt.Sprint(v.V)
}

func TestDecodeJSON(t *testing.T) {
	const doc = `{"cache":{"hits":90,"misses":10.0,"size":"512MB","rate":"45.2%","share":0.452,"none":null,"ok":true,"word":"OK","neg":-1,"big":1e999,
		"list":[1,2],"text":"12","blank":"","deep":{"a.b":7}},"workers":[{"jobs":3},{"jobs":4}]}`
	family := ""
	f := func(path string, kind Kind, want string) {
		t.Helper()
		got, err := DecodeJSON(strings.NewReader(doc), []Want{{Name: "v", Path: path, Kind: kind, Units: family}})
		if err != nil || !strings.HasPrefix(show(got[0]), want) {
			t.Errorf("%s as %v: %v, %v, want %s", path, kind, got, err, want)
		}
	}
	f("cache.hits", Count, "90")
	f("cache.misses", Count, "10")
	f("cache.text", Count, "12")
	f("cache.size", Size, "5.36870912e+08")
	f("cache.size", Any, "5.36870912e+08")
	family = UnitsDecimal
	f("cache.size", Size, "5.12e+08")
	f("cache.size", Any, "5.12e+08")
	family = ""
	f("cache.rate", Share, "0.452")
	f("cache.share", Share, "0.452")
	f("cache.rate", Any, "0.452")
	f("cache.neg", Any, "-1")
	f(`cache.deep.a\.b`, Count, "7")
	f("workers.1.jobs", Count, "4")
	f("workers.#", Count, "2")
	f("cache.size", Count, "error: v: cache.size: the text there is not a number")
	f("cache.rate", Size, "error: v: cache.rate: the text there is not a size")
	f("cache.hits", Share, "error: v: cache.hits: 90 is not a share")
	f("cache.neg", Count, "error: v: cache.neg: -1 is below 0")
	f("cache.big", Any, "error: v: cache.big: +Inf is not a number that can be used")
	for _, path := range []string{"cache.word", "cache.blank", "cache.ok", "cache.none", "cache.list", "cache", "workers.#.jobs"} {
		f(path, Size, "error: v: "+path+": ")
		f(path, Any, "error: v: "+path+": ")
	}
	f("cache.other", Count, "error: v: cache.other: there is no such value")
}

func TestDecodeJSONRefusesWhatIsNone(t *testing.T) {
	f := func(doc, want string) {
		t.Helper()
		if got, err := DecodeJSON(strings.NewReader(doc), []Want{{Path: "a"}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, %v, want %q", doc, got, err, want)
		}
	}
	f("", "it is not JSON")
	f("<html>", `it is not JSON: it begins with '<'`)
	f(`{"a": NaN}`, "it is not JSON")
	f(`{"a": 1`, "it is not JSON")
	f(strings.Repeat("[", 1<<19)+strings.Repeat("]", 1<<19), "it is not JSON")
	f(`{"a": 1, "b": "`+strings.Repeat("x", 10<<20)+`"}`, "the answer is too large: more than 1048576 bytes")
}

func TestDecodePrometheus(t *testing.T) {
	const doc = `# HELP hits_total Hits.
# TYPE hits_total counter
hits_total{cache="media",result="hit"} 90
hits_total{cache="media",result="miss"} 10 1700000000000
hits_total{cache="thumbs",result="hit"} 5
# TYPE lat histogram
lat_bucket{le="+Inf"} 3
lat_sum 1.5
lat_count 3
nodejs_heap_size_used_bytes 4.2e+07
broken NaN
inf +Inf
neg -3
`
	f := func(path string, kind Kind, want string) {
		t.Helper()
		got, err := DecodePrometheus(strings.NewReader(doc), []Want{{Name: "v", Path: path, Kind: kind}})
		if err != nil || !strings.HasPrefix(show(got[0]), want) {
			t.Errorf("%s as %v: %v, %v, want %s", path, kind, got, err, want)
		}
	}
	f("nodejs_heap_size_used_bytes", Size, "4.2e+07")
	f(`hits_total{cache="media",result="hit"}`, Count, "90")
	f(`hits_total{cache="media", result="miss",}`, Count, "10")
	f(`hits_total{result="hit"}`, Count, "95")
	f("hits_total", Count, "105")
	f("lat_count", Count, "3")
	f("neg", Any, "-3")
	f("neg", Count, "error: v: neg: -3 is below 0")
	f("broken", Any, "error: v: broken: it is NaN")
	f("inf", Any, "error: v: inf: +Inf is not a number")
	f("lat", Any, "error: v: lat: there is no such series")
	f(`hits_total{cache="none"}`, Count, `error: v: hits_total{cache="none"}: there is no such series`)
}

func TestDecodePrometheusRefusesWhatIsNone(t *testing.T) {
	f := func(doc, want string) {
		t.Helper()
		if got, err := DecodePrometheus(strings.NewReader(doc), []Want{{Path: "a"}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, %v, want %q", doc, got, err, want)
		}
	}
	f("<html>\n", "it is not the Prometheus text format: it begins with")
	f(`{"a": 1}`, "it is not the Prometheus text format: it begins with")
	f("b "+strings.Repeat("1", 1<<20)+"\n", "a line is longer than")
	f(strings.Repeat("b 1\n", 5<<20), "the answer is too large: more than")
	f(strings.Repeat("a 1\n", 1<<17), "the answer is too large: more than")
	if _, err := DecodePrometheus(strings.NewReader("a 1"), []Want{{Name: "n", Path: "a b"}}); err == nil {
		t.Error("a path that is not a metric is accepted")
	}
}

func TestCheckPath(t *testing.T) {
	f := func(format, path string, ok bool) {
		t.Helper()
		err := CheckPath(format, path)
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "write ") {
			t.Errorf("%s %q: %v, want ok %v", format, path, err, ok)
		}
	}
	f(JSON, "a.b", true)
	f(JSON, `workers.#(name=="x").jobs`, true)
	f(JSON, "", false)
	f(JSON, "a\nb", false)
	f(JSON, strings.Repeat("a", 501), false)
	f(Prometheus, "a:b_c", true)
	f(Prometheus, `a{b="c"}`, true)
	f(Prometheus, "a{}", true)
	for _, bad := range []string{"", "1a", "a b", "a{", `a{b=c}`, `a{b!="c"}`, `a{b="c" d="e"}`, "sum(a)", `a{b="\n"}`} {
		f(Prometheus, bad, false)
	}
}

func FuzzDecodeJSON(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1}}`), "a.b")
	f.Add([]byte(`{"a":[1,"2MB",null]}`), "a.#")
	f.Fuzz(func(t *testing.T, data []byte, path string) {
		if CheckPath(JSON, path) != nil {
			return
		}
		for kind := Count; kind <= Any; kind++ {
			got, err := DecodeJSON(strings.NewReader(string(data)), []Want{{Path: path, Kind: kind}})
			checkValue(t, got, err, kind)
		}
	})
}

func FuzzDecodePrometheus(f *testing.F) {
	f.Add([]byte("# TYPE a counter\na{b=\"c\"} 1\n"), "a")
	f.Add([]byte("a 1\na 2"), `a{b="c"}`)
	f.Fuzz(func(t *testing.T, data []byte, path string) {
		if CheckPath(Prometheus, path) != nil {
			return
		}
		for kind := Count; kind <= Any; kind++ {
			got, err := DecodePrometheus(strings.NewReader(string(data)), []Want{{Path: path, Kind: kind}})
			checkValue(t, got, err, kind)
		}
	})
}

func checkValue(t *testing.T, got []Value, err error, kind Kind) {
	t.Helper()
	if err != nil {
		return
	}
	v := got[0]
	if len(got) != 1 || math.IsNaN(v.V) || math.IsInf(v.V, 0) || v.Err != nil && v.V != 0 || kind != Any && v.V < 0 || kind == Share && v.V > 1 {
		t.Errorf("%v as %v", got, kind)
	}
}
