package fetch

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Kind says what a value may be.
type Kind uint8

// The kinds of values.
const (
	Count Kind = iota // a number of things, 0 or more: no unit
	Size              // bytes, 0 or more: "512MB" is read too
	Share             // 0 to 1: "45.2%" is read too
	Any               // any finite number; a size or a percentage is read too
)

// The families of units in which a service reports sizes in texts.
const (
	UnitsBinary  = "binary"  // 512MB is 512 x 1024 x 1024 bytes
	UnitsDecimal = "decimal" // 512MB is 512 x 1000 x 1000 bytes
)

// CheckUnits applies the default of a family of units for values of a format, and reports one that is unknown or
// means nothing there.
func CheckUnits(format string, family *string, report report.Func) {
	switch {
	case format == Prometheus && *family != "":
		report("units", "is for sizes in JSON, and metrics are in bytes: remove the key")
	case format == Prometheus:
	case *family == "":
		*family = UnitsBinary
	case *family != UnitsBinary && *family != UnitsDecimal:
		report("units", "%q is not a family of units: write %s (512MB is 512 x 1024 x 1024 bytes) or %s", *family, UnitsBinary, UnitsDecimal)
	}
}

// maxExact is the largest whole number that a float64 holds exactly, with all below it.
const maxExact = 1 << 53

var plainNumber = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

// Check returns v when it can be a value of the kind.
func (k Kind) Check(v float64) (float64, error) {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return 0, fmt.Errorf("%v is not a number that can be used", v)
	case k == Any:
		return v, nil
	case v < 0:
		return 0, fmt.Errorf("%v is below 0", v)
	case k == Share && v > 1:
		return 0, fmt.Errorf("%v is not a share between 0 and 1", v)
	case v > maxExact:
		return 0, fmt.Errorf("%v is too large to be exact", v)
	}
	return v, nil
}

// Parse reads a value that stands in a text: a number, and where the kind allows it a size such as
// "512MB", in units of a family, or a share such as "45.2%".
func (k Kind) Parse(text, family string) (float64, error) {
	t := strings.TrimSpace(text)
	if plainNumber.MatchString(t) {
		v, err := strconv.ParseFloat(t, 64)
		if err != nil {
			return 0, errors.New("the number there cannot be used")
		}
		return k.Check(v)
	}
	switch {
	case (k == Share || k == Any) && strings.HasSuffix(t, "%"):
		v, err := units.ParseRatio(t)
		return float64(v), shorten(err, "a share")
	case (k == Size || k == Any) && t != "":
		v, err := units.ParseReported(t, family == UnitsDecimal)
		return float64(v), shorten(err, "a size or number")
	}
	return 0, fmt.Errorf("the text there is not %s", k)
}

// shorten replaces an error, whose text is written for configs, by one about an answer. It does not show the
// answer: errors are public.
func shorten(err error, what string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the text there is not %s", what)
}

// String names the kind in errors.
func (k Kind) String() string {
	switch k {
	case Count:
		return "a number"
	case Size:
		return "a size"
	case Share:
		return "a share"
	default:
		return "a size or number"
	}
}

// clip keeps what stands in a configuration short and printable.
func clip(s string) string {
	const most = 60
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
