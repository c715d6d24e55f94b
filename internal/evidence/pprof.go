package evidence

import (
	"io"

	"github.com/google/pprof/profile"
)

// WritePprof writes a profile in the form that go tool pprof and viewers of flame graphs open. base, when it is not nil, is
// subtracted: what is left is what grew, or shrank.
func WritePprof(w io.Writer, p, base *Profile) error {
	out := pprofOf(p)
	if base != nil {
		before := pprofOf(base)
		before.Scale(-1)
		merged, err := profile.Merge([]*profile.Profile{before, out})
		if err != nil {
			return err
		}
		out = merged
	}
	return out.Write(w)
}

// pprofOf has one location for each row: a profile that is kept has no stacks.
func pprofOf(p *Profile) *profile.Profile {
	out := &profile.Profile{
		SampleType:        []*profile.ValueType{{Type: "objects", Unit: "count"}, {Type: "space", Unit: "bytes"}},
		DefaultSampleType: "space", TimeNanos: p.Time.UnixNano(),
		PeriodType: &profile.ValueType{Type: "space", Unit: "bytes"}, Period: p.Step,
	}
	for i := range p.Rows {
		r := &p.Rows[i]
		id := uint64(i + 1)
		fn := &profile.Function{ID: id, Name: r.Name, SystemName: r.Name, Filename: r.File, StartLine: int64(r.Line)}
		loc := &profile.Location{ID: id, Line: []profile.Line{{Function: fn, Line: int64(r.Line)}}}
		out.Function, out.Location = append(out.Function, fn), append(out.Location, loc)
		out.Sample = append(out.Sample, &profile.Sample{Location: []*profile.Location{loc}, Value: []int64{r.Objects, r.Bytes}})
	}
	return out
}
