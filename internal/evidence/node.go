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
	mostNodes = 500_000
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

type v8Node struct {
	CallFrame frame    `json:"callFrame"`
	SelfSize  float64  `json:"selfSize"`
	Children  []v8Node `json:"children"`
}

// decodeV8 reads the answer to HeapProfiler.getSamplingProfile. What Node.js itself allocates counts for the nearest
// function of the service that has called it.
func decodeV8(data []byte, out *rows) error {
	var r struct {
		Profile *struct {
			Head *v8Node `json:"head"`
		} `json:"profile"`
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if r.Profile == nil || r.Profile.Head == nil {
		return fmt.Errorf("%w: it has no head", ErrInvalid)
	}
	nodes := 0
	var walk func(n *v8Node, above *frame, depth int) error
	walk = func(n *v8Node, above *frame, depth int) error {
		if nodes++; nodes > mostNodes || depth > mostDepth {
			return fmt.Errorf("%w: it has more than %d calls, or more than %d within one another", ErrInvalid, mostNodes, mostDepth)
		}
		if n.CallFrame.own() {
			above = &n.CallFrame
		}
		if n.SelfSize > 0 && n.SelfSize < float64(maxBytes) {
			of := &n.CallFrame
			if above != nil {
				of = above
			}
			out.add(of.FunctionName, of.URL, of.LineNumber+1, int64(n.SelfSize), 0)
		}
		for i := range n.Children {
			if err := walk(&n.Children[i], above, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(r.Profile.Head, nil, 0)
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
	var r struct {
		Total   float64    `json:"total"`
		Dropped int        `json:"dropped"`
		Rows    []agentRow `json:"rows"`
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for _, row := range r.Rows {
		if row.bytes > 0 && row.bytes < float64(maxBytes) && row.line >= 0 && row.line < 1<<30 {
			out.add(row.name, row.file, int(row.line), int64(row.bytes), 0)
		}
	}
	out.rest(r.Total, r.Dropped)
	return nil
}

// samplingStep is the mean number of bytes between two samples.
const samplingStep = int64(heap.SamplingInterval)
