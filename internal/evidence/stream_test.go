package evidence

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"
)

// TestHostileAnswersTakeLittle: an answer of 16 MiB, the longest that is read, of parts that are as small as can be takes no more
// memory than it has itself, or is refused before it does.
func TestHostileAnswersTakeLittle(t *testing.T) {
	const size, most = 16 << 20, 128 << 20
	many := func(before, part, after string) []byte {
		return []byte(before + strings.Repeat(part+",", (size-len(before)-len(after))/(len(part)+1)-1) + part + after)
	}
	f := func(name, decoder string, data []byte) {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := decoders[decoder](data, newRows(nil))
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > most {
				t.Errorf("it took %d MiB", took>>20)
			}
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%v, want ErrInvalid", err)
			}
		})
	}
	f("calls", "v8", many(`{"profile":{"head":{"children":[`, "{}", `]}}}`))
	f("no calls", "v8", many(`{"profile":{"head":{"children":[`, "null", `]}}}`))
	f("depth", "v8", []byte(`{"profile":{"samples":`+strings.Repeat("[", size/2)+strings.Repeat("]", size/2)+`}}`))
	f("rows of the agent", "agent", many(`{"rows":[`, "[]", `]}`))
	f("no rows of the agent", "agent", many(`{"rows":[`, "null", `]}`))
	f("rows of Python", "python", many(`{"rows":[`, "[]", `]}`))
	f("samples", "go", bytes.Repeat([]byte("\x12\x00"), size/2))
	f("locations", "go", bytes.Repeat([]byte("\x22\x00"), size/2))
	f("texts", "go", bytes.Repeat([]byte("\x32\x00"), size/2))
	f("values of a sample", "go", append([]byte("\x12\xfb\xff\xff\x07\x12\xf6\xff\xff\x07"), bytes.Repeat([]byte{1}, size-10)...))
	f("lines of a location", "go", append([]byte("\x22\xfb\xff\xff\x07"), bytes.Repeat([]byte("\x22\x00"), size/2)...)[:size])
	f("labels of a sample", "go", append([]byte("\x12\xfb\xff\xff\x07"), bytes.Repeat([]byte("\x1a\x00"), size/2)...)[:size])
}

// TestAnswersInAnyOrder: what follows the calls within one, or the rows, is read too.
func TestAnswersInAnyOrder(t *testing.T) {
	p := decoded(t, "v8", `{"id":7,"profile":{"samples":[{"a":[1]}],"head":{"callFrame":{"functionName":"f","url":"a.js","lineNumber":1},"children":[{"selfSize":5,"id":3,"children":[]}],"selfSize":2}}}`)
	if len(p.Rows) != 1 || p.Rows[0].Bytes != 7 || p.Rows[0].Line != 2 {
		t.Errorf("%+v", p.Rows)
	}
	p = decoded(t, "python", `{"rows":[["a","",0,5,1,true]],"more":{"x":[{}]},"dropped":2,"total":50,"step":4}`)
	if len(p.Rows) != 1 || p.Total != 50 || p.Dropped != 2 {
		t.Errorf("%+v", p)
	}
}
