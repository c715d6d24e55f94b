package evidence

import (
	"context"
	"encoding/json"
	"fmt"
)

// census reads the types of what lives from the preload modules of a Python service.
type census struct{}

// Capture implements Capturer.
func (census) Capture(ctx context.Context, p Process) (Profile, error) {
	return capture(ctx, p, true, decodePython)
}

// traced reads the lines that have allocated what lives, where the service runs with tracemalloc.
type traced struct{}

// Capture implements Capturer.
func (traced) Capture(ctx context.Context, p Process) (Profile, error) {
	return capture(ctx, p, false, decodePython)
}

// pythonRow is [name, file, line, bytes, objects, common].
type pythonRow struct {
	name, file           string
	line, bytes, objects float64
	common               bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *pythonRow) UnmarshalJSON(data []byte) error {
	parts := [6]any{&r.name, &r.file, &r.line, &r.bytes, &r.objects, &r.common}
	return json.Unmarshal(data, &parts)
}

// decodePython reads the answer of the modules to census and trace. Its total covers the rows that it has dropped.
func decodePython(data []byte, out *rows) error {
	total, step, dropped := 0.0, 0.0, 0
	err := object(data, func(d *json.Decoder, key string) error {
		switch key {
		case "total":
			return d.Decode(&total)
		case "dropped":
			return d.Decode(&dropped)
		case "step": // mean bytes between two objects that were looked at; 0: all were
			return d.Decode(&step)
		case "rows":
			return sentRows(d, func(row *pythonRow) {
				if row.bytes > 0 && row.bytes < float64(maxBytes) && row.line >= 0 && row.line < 1<<30 && row.objects >= 0 && row.objects < float64(maxBytes) {
					out.addTo(Row{Name: row.name, File: row.file, Line: int(row.line), Common: row.common}, int64(row.bytes), int64(row.objects))
				}
			})
		}
		return skip(d)
	})
	switch {
	case err != nil:
		return err
	case step < 0 || step > float64(maxBytes):
		return fmt.Errorf("%w: its step is %v bytes", ErrInvalid, step)
	}
	out.step = int64(step)
	out.rest(total, dropped)
	return nil
}
