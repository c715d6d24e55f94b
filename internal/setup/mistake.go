package setup

import (
	"errors"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
)

// ErrMistake matches errors of the command line or of a file that it names: trying again is of no
// use before they are corrected.
var ErrMistake = errors.New("the command line or a file that it names is wrong")

// mistakeError has the text of its error alone.
type mistakeError struct{ error }

func (e mistakeError) Unwrap() error        { return e.error }
func (e mistakeError) Is(target error) bool { return target == ErrMistake }

// Mistake marks an error as ErrMistake.
func Mistake(err error) error { return mistakeError{err} }

// IsMistake reports whether an error matches ErrMistake or lists mistakes of a configuration.
func IsMistake(err error) bool {
	var mistakes config.Errors
	return errors.Is(err, ErrMistake) || errors.As(err, &mistakes)
}
