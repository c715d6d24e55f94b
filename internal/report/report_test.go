package report

import (
	"fmt"
	"testing"
)

func TestUnder(t *testing.T) {
	var got string
	f := Func(func(key, format string, args ...any) { got = key + ": " + fmt.Sprintf(format, args...) })
	for key, want := range map[string]string{
		"":        "targets[0]: 3 mistakes",
		"path":    "targets[0].path: 3 mistakes",
		"[1]":     "targets[0][1]: 3 mistakes",
		"a[1].b":  "targets[0].a[1].b: 3 mistakes",
		"heap.at": "targets[0].heap.at: 3 mistakes",
	} {
		if f.Under("targets[0]")(key, "%d mistakes", 3); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
	f.Under("a").Under("b")("c", "x")
	if got != "a.b.c: x" {
		t.Error(got)
	}
	Ignore("key", "%d", 1)
}
