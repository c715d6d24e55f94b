package fetch

import (
	"strings"
	"testing"
)

// TestDecodeOpenMetrics: exemplars, timestamps of either form and what else OpenMetrics adds are read
// past, wherever the value stands.
func TestDecodeOpenMetrics(t *testing.T) {
	f := func(line, path string, want float64) {
		t.Helper()
		text := "# HELP other Other.\n# TYPE other counter\n# UNIT other seconds\nother_total 1 # {trace_id=\"x\"} 1 1700000000.5\n" + line + "\n# EOF\n"
		got, err := DecodePrometheus(strings.NewReader(text), []Want{{Name: "v", Path: path}, {Name: "o", Path: "other_total"}})
		if err != nil || got[0].Err != nil || got[0].V != want || got[1].V != 1 {
			t.Errorf("%s: %+v, %v, want %v and 1", line, got, err, want)
		}
	}
	f(`jobs_total 7 # {trace_id="abc"} 1.0`, "jobs_total", 7)
	f(`jobs_total 7 # {trace_id="abc",span_id="d e } # f"} 0.5 1700000000.123`, "jobs_total", 7)
	f(`jobs_total{queue="a"} 7 # {} 1`, `jobs_total{queue="a"}`, 7)
	f(`jobs_total{queue="a # {b} \" 1"} 7 1700000000.123 # {trace_id="abc"} 1 1700000000`, "jobs_total", 7)
	f(`jobs_total 7 1700000000.123`, "jobs_total", 7)
	f(`jobs_total 7 1.7e9`, "jobs_total", 7)
	f(`jobs_total 7 1700000000123`, "jobs_total", 7)
	f(`jobs_total 7 -1.5`, "jobs_total", 7)
	f("jobs_total\t7\t1700000000.123", "jobs_total", 7)
	f(`latency_bucket{le="0.5"} 3 # {trace_id="x"} 0.43`+"\nlatency_count 4\n", `latency_bucket{le="0.5"}`, 3)
	f("jobs_total{queue=\"a\"} 3 # {t=\"x\"} 1\njobs_total{queue=\"b\"} 4 # {t=\"y\"} 1", "jobs_total", 7)
}

// TestDecodePrometheusOddLine: a line that cannot be understood costs its own value.
func TestDecodePrometheusOddLine(t *testing.T) {
	f := func(line string) {
		t.Helper()
		got, err := DecodePrometheus(strings.NewReader("a 1\n"+line+"\nc 3\n"), []Want{{Name: "x", Path: "a"}, {Name: "y", Path: "b"}, {Name: "z", Path: "c"}})
		if err != nil || got[0].V != 1 || got[2].V != 3 || got[0].Err != nil || got[2].Err != nil {
			t.Errorf("%s: %+v, %v, want 1 and 3", line, got, err)
			return
		}
		if got[1].Err == nil {
			t.Errorf("%s: %v is read", line, got[1].V)
		}
	}
	f("b")
	f("b ")
	f("b many")
	f("b 2 today")
	f("b 2 1700000000 3")
	f("b 2 # no exemplar")
	f(`b 2 # {t="x`)
	f(`b{x="y} 2`)
	f(`b{x=y} 2`)
	f(`b{x="y"}`)
	f("b 2\nb what\n") // a sum without it is not the sum
}

func FuzzBareSample(f *testing.F) {
	f.Add([]byte(`jobs_total{queue="a # {b} \" 1"} 7 1700000000.123 # {trace_id="abc"} 1 1700000000`))
	f.Add([]byte("a 1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := bareSample(b)
		if err != nil {
			return
		}
		if again, err := bareSample(out[:len(out)-1]); err != nil || string(again) != string(out) {
			t.Errorf("%q becomes %q, and that %q, %v", b, out, again, err)
		}
	})
}
