package collector

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// pressure is the pressure stall information of one resource, in seconds: how long some tasks, and
// all that had work, waited for it.
type pressure struct {
	some, full       float64
	hasSome, hasFull bool
}

// readPressure reads a file of pressure stall information. A kernel in which it is not built in or
// switched off, and a file that this user may not read, have none; that is not an error. With an
// error it has what could be understood.
func readPressure(name string) (pressure, error) {
	raw, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, fs.ErrPermission):
		return pressure{}, nil
	case err != nil:
		return pressure{}, fmt.Errorf("read pressure: %w", err)
	}
	p, err := parsePressure(raw)
	if err != nil {
		return p, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// parsePressure reads lines "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", the total in
// microseconds.
func parsePressure(b []byte) (p pressure, err error) {
	var errs []error
	for line := range bytes.Lines(b) {
		kind, rest, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		to, has := &p.some, &p.hasSome
		switch string(kind) {
		case "some":
		case "full":
			to, has = &p.full, &p.hasFull
		default:
			continue
		}
		_, total, _ := bytes.Cut(rest, []byte("total="))
		micros, err := strconv.ParseUint(string(total), 10, 64)
		if err != nil {
			errs = append(errs, fmt.Errorf("%q has no total", bytes.TrimSpace(line)))
			continue
		}
		*to, *has = float64(micros)/1e6, true
	}
	return p, errors.Join(errs...)
}
