package evidence

import (
	"context"
	"errors"
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/heap"
)

// capture reads a profile of a heap and decodes it.
func capture(ctx context.Context, p Process, all bool, decode func(data []byte, out *rows) error) (Profile, error) {
	if p.Heap == nil {
		return Profile{}, fmt.Errorf("%w: no heap is read", ErrUnavailable)
	}
	s, err := p.Heap.Profile(ctx, all)
	if err != nil {
		return Profile{}, explain(err)
	}
	r := newRows(p.Redact)
	if err := decode(s.Data, r); err != nil {
		return Profile{Pause: s.Took}, err
	}
	out := Profile{Target: p.Target, Epoch: s.Epoch, Since: s.Since, Step: r.step, Pause: s.Took}
	if !s.Since.IsZero() {
		out.Step = samplingStep
	}
	if s.Used.OK {
		out.Used = int64(s.Used.Bytes)
	}
	r.into(&out)
	return out, nil
}

// explain turns an error of a heap into one of a capture.
func explain(err error) error {
	switch {
	case errors.Is(err, heap.ErrProfileUnknown), errors.Is(err, heap.ErrUnknown):
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	case errors.Is(err, heap.ErrNoProfile), errors.Is(err, heap.ErrNotConfigured):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
