package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// An answer of a target is decoded piece by piece: as a whole, 16 MiB of empty rows would take a hundred times as much
// memory of the exporter.
const mostSent = 50_000 // rows that a script sends: ours send some hundreds

// object calls f for each key of the JSON object that data is; f reads the value from d.
func object(data []byte, f func(d *json.Decoder, key string) error) error {
	d := json.NewDecoder(bytes.NewReader(data))
	err := members(d, func(key string) error { return f(d, key) })
	if err == nil {
		if _, end := d.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("something follows its end")
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// members calls f for each key of the object that comes next; f reads the value.
func members(d *json.Decoder, f func(key string) error) error {
	if err := begins(d, '{'); err != nil {
		return err
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := t.(string) // of an object it is one
		if err := f(key); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// elementsOf calls f for each element of the array that comes next; f reads it.
func elementsOf(d *json.Decoder, f func() error) error {
	if err := begins(d, '['); err != nil {
		return err
	}
	for d.More() {
		if err := f(); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

func begins(d *json.Decoder, with json.Delim) error {
	t, err := d.Token()
	if err == nil && t != with {
		err = fmt.Errorf("there is %.20q where %s belongs", fmt.Sprint(t), with)
	}
	return err
}

// skip passes over the value that comes next.
func skip(d *json.Decoder) error {
	for depth := 0; ; {
		t, err := d.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth > mostDepth {
			return fmt.Errorf("it has more than %d values within one another", mostDepth)
		}
		if depth == 0 {
			return nil
		}
	}
}

// sentRows calls add for each row of the array that comes next.
func sentRows[R any](d *json.Decoder, add func(*R)) error {
	n := 0
	return elementsOf(d, func() error {
		if n++; n > mostSent {
			return fmt.Errorf("it has more than %d rows", mostSent)
		}
		var row R
		err := d.Decode(&row)
		if err == nil {
			add(&row)
		}
		return err
	})
}
