package evidence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/spillway-exporter/spillway_exporter/internal/heap"
)

var decoders = map[string]func([]byte, *rows) error{"v8": decodeV8, "agent": decodeAgent, "histogram": decodeHistogram, "go": decodeGo, "python": decodePython}

func decoded(t *testing.T, decoder, text string) Profile {
	t.Helper()
	r := newRows(nil)
	if err := decoders[decoder]([]byte(text), r); err != nil {
		t.Fatalf("%s: %v", decoder, err)
	}
	var p Profile
	r.into(&p)
	return p
}

// TestDecodeV8: what Node.js allocates counts for the function of the service that has called it.
func TestDecodeV8(t *testing.T) {
	node := func(name, url string, line int, size string, children ...string) string {
		return fmt.Sprintf(`{"callFrame":{"functionName":%q,"url":%q,"lineNumber":%d},"selfSize":%s,"children":[%s]}`, name, url, line, size, strings.Join(children, ","))
	}
	p := decoded(t, "v8", `{"profile":{"head":`+node("(root)", "", -1, "0",
		node("(V8 API)", "", -1, "100"),
		node("remember", "file:///srv/secret-customer/app/src/server.js", 41, "5000",
			node("from", "node:buffer", 300, "70000", node("alloc", "", 0, "1"))),
		node("get", "/srv/app/node_modules/lru-cache/index.js", 9, "300"),
		node("remember", "file:///srv/secret-customer/app/src/server.js", 41, "1000"))+`,"samples":[]}}`)
	want := []Row{{"remember", "src/server.js", 42, 76001, 0, false}, {"get", "node_modules/lru-cache/index.js", 10, 300, 0, false}, {"(V8 API)", "", 0, 100, 0, false}}
	if fmt.Sprint(p.Rows) != fmt.Sprint(want) || p.Total != 76401 {
		t.Errorf("%+v, total %d, want %+v", p.Rows, p.Total, want)
	}
}

func TestDecodeHistogram(t *testing.T) {
	p := decoded(t, "histogram", " num     #instances         #bytes  class name (module)\n-------------------------------------------------------\n"+
		"   1:         21234        1234567  [B (java.base@17.0.1)\n   2:          1000          24000  com.acme.Session\n   3:            10           2400  [[Lcom.acme.Tile;\n"+
		"   4:             5             80  com.acme.App$$Lambda$14/0x0000000801003200\n   5:             1             16  com.acme.App$$Lambda$14/0x0000000801004400\nTotal         22250        1261063\n")
	want := []Row{
		{"byte[]", "", 0, 1234567, 21234, true},
		{"com.acme.Session", "", 0, 24000, 1000, false},
		{"com.acme.Tile[][]", "", 0, 2400, 10, false},
		{"com.acme.App$$Lambda$14", "", 0, 96, 6, false},
	}
	if fmt.Sprint(p.Rows) != fmt.Sprint(want) || p.Total != 1261063 {
		t.Errorf("%+v, total %d, want %+v", p.Rows, p.Total, want)
	}
}

func TestDecodeAgentCountsWhatWasDropped(t *testing.T) {
	p := decoded(t, "agent", `{"since":1,"total":1000,"dropped":7,"rows":[["f","/srv/server.js",3,400]]}`)
	if p.Total != 1000 || p.Dropped != 7 || len(p.Rows) != 1 || p.Rows[0].Line != 3 {
		t.Errorf("%+v", p)
	}
}

func TestDecodePython(t *testing.T) {
	p := decoded(t, "python", `{"total":1000,"dropped":7,"step":40,"rows":[["app.Session","",0,400,3,false],["dict","",0,200.5,9,true],["load","/srv/secret/app/db.py",12,50,1,false],["lies","",0,1e300,1,false],["x","",-1,5,1,false],["y","",0,5,-1,false]]}`)
	want := []Row{{"app.Session", "", 0, 400, 3, false}, {"dict", "", 0, 200, 9, true}, {"load", "app/db.py", 12, 50, 1, false}}
	if fmt.Sprint(p.Rows) != fmt.Sprint(want) || p.Total != 1000 || p.Dropped != 7 {
		t.Errorf("%+v, want %+v", p, want)
	}
}

// TestHostileAnswers: ten megabytes of rows, sizes that lie, names with escapes and secrets.
func TestHostileAnswers(t *testing.T) {
	var long strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&long, "%d: 3 %d com.acme.Generated%d\n", i+1, 1000+i, i)
	}
	p := decoded(t, "histogram", long.String())
	raw, _ := json.Marshal(p)
	if len(p.Rows) != mostRows || p.Dropped < mostNames-mostRows || len(raw) > 64<<10 || long.Len() < 5<<20 {
		t.Errorf("%d rows, %d dropped, %d bytes of %d", len(p.Rows), p.Dropped, len(raw), long.Len())
	}
	deep := strings.Repeat(`{"callFrame":{"url":"a.js"},"selfSize":1,"children":[`, 5000) + strings.Repeat("]}", 5000)
	if err := decodeV8([]byte(`{"profile":{"head":`+deep+"}}"), newRows(nil)); !errors.Is(err, ErrInvalid) {
		t.Errorf("5000 calls within one another: %v", err)
	}
	lies := decoded(t, "histogram", "1: 5 9223372036854775807 A\n2: -5 100 B\n3: 1 -7 C\n4: 1 1125899906842624 D\n5: 1 1125899906842624 E\n6: 2 64 F\n")
	if lies.Total < 0 || lies.Total > maxBytes || len(lies.Rows) == 0 || lies.Rows[0].Bytes > maxBytes {
		t.Errorf("%+v", lies)
	}
	for _, text := range []string{`{"since":1,"rows":[["f","a",1,1e300],["g","a",-1,5],["h","a",1,-5]],"total":1e300,"dropped":3}`, `{"since":1,"rows":[],"total":-1,"dropped":-9}`} {
		if p := decoded(t, "agent", text); p.Total != 0 || p.Dropped < 0 {
			t.Errorf("%s: %+v", text, p)
		}
	}
	for decoder, texts := range map[string][]string{
		"v8": {"", "null", "{}", `{"profile":{}}`, `{"profile":{"head":5}}`, "[1]"}, "agent": {"", `{"rows":[5]}`, `{"rows":"x"}`},
		"python": {"", `{"rows":[5]}`, `{"rows":[["a","",0,"1",1,true]]}`, `{"step":-1}`, `{"step":1e300}`}, "histogram": {"", "OK", strings.Repeat(":", 1000)}, "go": {"", "OK", "\x08\xff\xff\xff\xff", strings.Repeat("\xff", 1000)},
	} {
		for _, text := range texts {
			if err := decoders[decoder]([]byte(text), newRows(nil)); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s %.20q: %v, want ErrInvalid", decoder, text, err)
			}
		}
	}
}

func TestNames(t *testing.T) {
	r, err := NewRedactor([]string{"acme_[a-z]+", `customer-\d+`})
	if err != nil {
		t.Fatal(err)
	}
	f := func(in, want string) {
		t.Helper()
		if got := r.name(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	f("rememberSession", "rememberSession")
	f("", "(anonymous)")
	f("acme_tenant.load", "[redacted].load")
	f("evil\x1b[31m\nred\u202e\x00", "evil [31m red")
	f("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", redacted)
	f("get user@example.org", "get "+redacted)
	f("sk_live_4eC39HqLyjWDarjtT1zdp7dc", redacted)
	f("4f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c", redacted)
	f("123e4567-e89b-12d3-a456-426614174000", redacted)
	f("q83vEjRWeJq8N7x2kP5mT1zR9wLb4YcD", redacted)
	f("org.springframework.context.annotation.ConfigurationClassPostProcessor", "org.springframework.context.annotation.ConfigurationClassPostProcessor")
	f("github.com/acme/app/internal/cache.(*Store).rememberSession", "github.com/acme/app/internal/cache.(*Store).rememberSession")
	f(strings.Repeat("é", 500), strings.Repeat("é", 78)+"...")
	g := func(in, want string) {
		t.Helper()
		if got := r.file(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	g("", "")
	g("file:///home/alice/customer-77/src/server.js", "src/server.js")
	g("/srv/customer-77/server.js", redacted+"/server.js")
	g("/server.js", "server.js")
	g("https://user:pass@cdn.example.org/app.js?token=abc#x", "app.js")
	g("data:text/javascript;base64,c2VjcmV0", "data:")
	g(`C:\app\src\server.js`, "src/server.js")
	g("/x/node_modules/a/node_modules/b/lib/i.js", "node_modules/b/lib/i.js")
	g("evalmachine.<anonymous>", "evalmachine.<anonymous>")
}

func TestRedactorRefuses(t *testing.T) {
	f := func(want string, patterns ...string) {
		t.Helper()
		if _, err := NewRedactor(patterns); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", patterns, err, want)
		}
	}
	f("not a regular expression", "a(")
	f("matches an empty text too", "a*")
	f("write at most 32", make([]string, 33)...)
}

// TestRedactedEverywhere: what is hidden stands in no field of a capture.
func TestRedactedEverywhere(t *testing.T) {
	r, err := NewRedactor([]string{"hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	h := heapFunc(func(context.Context, bool) (heap.Snapshot, error) {
		return heap.Snapshot{Data: []byte(`{"since":1,"total":10,"rows":[["hunter2()","/srv/hunter2/hunter2.js",1,10]]}`), Epoch: "1"}, nil
	})
	p, err := agentSampled{}.Capture(t.Context(), Process{Target: "t", Heap: h, Redact: r})
	raw, _ := json.Marshal(p)
	if err != nil || len(p.Rows) != 1 || strings.Contains(string(raw), "hunter2") {
		t.Errorf("%s, %v", raw, err)
	}
}

func fuzzDecoder(f *testing.F, decoder string, seeds ...string) {
	f.Helper()
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newRows(nil)
		if decoders[decoder](data, r) != nil {
			return
		}
		var p Profile
		r.into(&p)
		if len(p.Rows) > mostRows || p.Total < 0 || p.Dropped < 0 {
			t.Errorf("%d rows, total %d, dropped %d", len(p.Rows), p.Total, p.Dropped)
		}
		for _, row := range p.Rows {
			if row.Bytes <= 0 || row.Objects < 0 || row.Line < 0 || len(row.Name) > mostNameBytes || len(row.File) > mostNameBytes {
				t.Errorf("%+v", row)
			}
			if strings.ContainsFunc(row.Name+row.File, func(c rune) bool { return !unicode.IsPrint(c) }) {
				t.Errorf("%q is not printable", row.Name+row.File)
			}
		}
	})
}

func FuzzDecodeV8(f *testing.F) {
	fuzzDecoder(f, "v8", answers[heap.ProviderNode], `{"profile":{"head":null}}`)
}
func FuzzDecodeAgent(f *testing.F)     { fuzzDecoder(f, "agent", answers[heap.ProviderAgent]) }
func FuzzDecodeHistogram(f *testing.F) { fuzzDecoder(f, "histogram", answers[heap.ProviderJVM]) }
func FuzzDecodePython(f *testing.F) {
	fuzzDecoder(f, "python", answers[heap.ProviderPython], `{"total":1000,"dropped":7,"step":40,"rows":[["load","/srv/app/db.py",12,50,1,false]]}`)
}
func FuzzDecodeGo(f *testing.F) { fuzzDecoder(f, "go", "\x0a\x04\x08\x01\x10\x02") }
