package evidence

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// goProfile reads the heap profile of a Go program, after a collection.
type goProfile struct{}

// Capture implements Capturer.
func (goProfile) Capture(ctx context.Context, p Process) (Profile, error) {
	return capture(ctx, p, false, decodeGo)
}

// decodeGo reads a heap profile that is not compressed any more. What the standard library and the runtime allocate counts for
// the nearest function that has called them and is of the service.
func decodeGo(data []byte, out *rows) (err error) {
	defer func() {
		if r := recover(); r != nil { // the library is not made for hostile input
			err = fmt.Errorf("%w: %v", ErrInvalid, r)
		}
	}()
	var p *profile.Profile
	if err = weigh(data); err == nil {
		p, err = profile.ParseUncompressed(data)
	}
	if err == nil {
		err = p.CheckValid()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	space := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == "inuse_space" && t.Unit == "bytes" })
	objects := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == "inuse_objects" })
	if space < 0 || objects < 0 {
		return fmt.Errorf("%w: it has no inuse_space", ErrInvalid)
	}
	if p.PeriodType != nil && p.PeriodType.Type == "space" && p.Period > 0 {
		out.step = min(p.Period, maxBytes)
	}
	for _, s := range p.Sample {
		if fn, line := owner(s); fn != nil && s.Value[space] > 0 {
			out.add(fn.Name, fn.Filename, line, s.Value[space], s.Value[objects])
		} else if s.Value[space] > 0 {
			out.add("(unknown)", "", 0, s.Value[space], s.Value[objects])
		}
	}
	return nil
}

// owner returns the function that a sample counts for and the line within it.
func owner(s *profile.Sample) (fn *profile.Function, line int) {
	for _, loc := range s.Location {
		for i := range loc.Line {
			l := &loc.Line[i]
			if l.Function == nil {
				continue
			}
			if fn == nil {
				fn, line = l.Function, int(l.Line)
			}
			if !ofStandardLibrary(l.Function.Name) {
				return l.Function, int(l.Line)
			}
		}
	}
	return fn, line
}

// ofStandardLibrary reports whether a function belongs to a package whose path begins with no host, and is not main.
func ofStandardLibrary(name string) bool {
	pkg, _, ok := strings.Cut(name[strings.LastIndex(name, "/")+1:], ".")
	if !ok {
		return false
	}
	path := name[:strings.LastIndex(name, "/")+1] + pkg
	first, _, _ := strings.Cut(path, "/")
	return path != "main" && !strings.HasPrefix(path, "main.") && !strings.Contains(first, ".") && standard[first]
}

// standard are the first parts of paths of the standard library that allocate for their callers.
var standard = map[string]bool{
	"archive": true, "bufio": true, "bytes": true, "compress": true, "container": true, "context": true, "crypto": true, "database": true,
	"encoding": true, "errors": true, "fmt": true, "hash": true, "html": true, "image": true, "internal": true, "io": true, "iter": true,
	"log": true, "maps": true, "math": true, "mime": true, "net": true, "os": true, "path": true, "reflect": true, "regexp": true,
	"runtime": true, "slices": true, "sort": true, "strconv": true, "strings": true, "sync": true, "syscall": true, "testing": true,
	"text": true, "time": true, "unicode": true, "unique": true, "vendor": true,
}
