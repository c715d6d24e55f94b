package evidence

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/heap"
)

// Bounds of a tree of calls.
const (
	mostNodes = 150_000 // 16 MiB, the longest answer that is read, have no more
	mostDepth = 2_000
)

// sampled reads what V8 samples in an inspector session that is open. The capture is a full collection.
type sampled struct{}

// Capture implements Capturer.
func (sampled) Capture(ctx context.Context, p Process) (Profile, error) {
	return capture(ctx, p, false, decodeV8)
}

// agentSampled reads the same from the preload script, which has added it up.
type agentSampled struct{}

// Capture implements Capturer.
func (agentSampled) Capture(ctx context.Context, p Process) (Profile, error) {
	return capture(ctx, p, false, decodeAgent)
}

// frame is where something was allocated.
type frame struct {
	FunctionName string `json:"functionName"`
	URL          string `json:"url"`
	LineNumber   int    `json:"lineNumber"` // from 0
}

// own reports whether a frame is of the service and its packages, and not of Node.js itself.
func (f *frame) own() bool { return f.URL != "" && !strings.HasPrefix(f.URL, "node:") }

// decodeV8 reads the answer to HeapProfiler.getSamplingProfile. What Node.js itself allocates counts for the nearest
// function of the service that has called it.
func decodeV8(data []byte, out *rows) error {
	found := false
	err := object(data, func(d *json.Decoder, key string) error {
		if key != "profile" {
			return skip(d)
		}
		return members(d, func(key string) error {
			if key != "head" {
				return skip(d)
			}
			found = true
			tree := v8Tree{d: d, out: out}
			return tree.node(nil, 0)
		})
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: it has no head", ErrInvalid)
	}
	return err
}

// v8Tree is a tree of calls while it is read. V8 writes the frame of a call before the calls within it.
type v8Tree struct {
	d     *json.Decoder
	out   *rows
	nodes int
}

// node reads one call and those within it. above is the nearest function of the service that has called it.
func (t *v8Tree) node(above *frame, depth int) error {
	if t.nodes++; t.nodes > mostNodes || depth > mostDepth {
		return fmt.Errorf("it has more than %d calls, or more than %d within one another", mostNodes, mostDepth)
	}
	var at frame
	size := 0.0
	err := members(t.d, func(key string) error {
		switch key {
		case "callFrame":
			err := t.d.Decode(&at)
			if at.own() {
				above = &at
			}
			return err
		case "selfSize":
			return t.d.Decode(&size)
		case "children":
			return elementsOf(t.d, func() error { return t.node(above, depth+1) })
		}
		return skip(t.d)
	})
	if err == nil && size > 0 && size < float64(maxBytes) {
		of := &at
		if above != nil {
			of = above
		}
		t.out.add(of.FunctionName, of.URL, of.LineNumber+1, int64(size), 0)
	}
	return err
}

// agentRow is [function, file, line, bytes].
type agentRow struct {
	name, file  string
	line, bytes float64
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *agentRow) UnmarshalJSON(data []byte) error {
	parts := [4]any{&r.name, &r.file, &r.line, &r.bytes}
	return json.Unmarshal(data, &parts)
}

// decodeAgent reads the answer of the preload script. Its total covers the rows that it has dropped.
func decodeAgent(data []byte, out *rows) error {
	total, dropped := 0.0, 0
	err := object(data, func(d *json.Decoder, key string) error {
		switch key {
		case "total":
			return d.Decode(&total)
		case "dropped":
			return d.Decode(&dropped)
		case "rows":
			return sentRows(d, func(row *agentRow) {
				if row.bytes > 0 && row.bytes < float64(maxBytes) && row.line >= 0 && row.line < 1<<30 {
					out.add(row.name, row.file, int(row.line), int64(row.bytes), 0)
				}
			})
		}
		return skip(d)
	})
	if err == nil {
		out.rest(total, dropped)
	}
	return err
}

// samplingStep is the mean number of bytes between two samples.
const samplingStep = int64(heap.SamplingInterval)
