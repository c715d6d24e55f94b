package units

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size in bytes. It reads "1GiB" and "512MiB" (powers of 1024), "512MB" and "2GB"
// (powers of 1000) and plain byte counts.
type Bytes int64

// Duration is a length of time. It reads Go durations ("1h30m", "250ms") and whole or
// fractional days and weeks ("2d", "1w", "1d12h").
type Duration time.Duration

// Ratio is a share between 0 and 1. It reads "70%" and "0.7".
type Ratio float64

const bytePrefixes = "kmgtpe"

// The forms of a size that an error names.
const byteForms = "write bytes or a number with a unit, such as 1GiB, 512MiB or 512MB"

// ParseBytes reads a size. A unit without its last letter, as in 1G, is an error: it is 1024 x 1024 x 1024
// bytes to some and 1000 x 1000 x 1000 to others. Errors name the text and the accepted forms.
func ParseBytes(s string) (Bytes, error) {
	n, q, err := splitBytes(s)
	if err != nil {
		return 0, err
	}
	if q.bare {
		t := strings.TrimSpace(strings.TrimRight(strings.TrimSpace(s), "kmgtpeKMGTPE"))
		letter := strings.ToUpper(bytePrefixes[q.power-1 : q.power])
		return 0, fmt.Errorf("%q is not clear: write %s%siB (%s bytes) or %s%sB (%s bytes)", s, t, letter, times(1024, q.power), t, letter, times(1000, q.power))
	}
	return scale(s, n, q)
}

// ParseReported reads a size that a service reports of itself. What many services write as 512MB is
// 512 x 1024 x 1024 bytes; it is 512 x 1000 x 1000 where decimal is set, and so is 512M. 512MiB is the same to all.
func ParseReported(s string, decimal bool) (Bytes, error) {
	n, q, err := splitBytes(s)
	if err != nil {
		return 0, err
	}
	if q.bare || q.base == 1000 {
		q.base = 1024
		if decimal {
			q.base = 1000
		}
	}
	return scale(s, n, q)
}

// byteUnit is what stands behind a number.
type byteUnit struct {
	base  float64
	power int
	bare  bool // it does not say which base is meant
}

// splitBytes returns the number and the unit of a size.
func splitBytes(s string) (n float64, q byteUnit, err error) {
	t := strings.TrimSpace(s)
	i := 0
	for i < len(t) && (t[i] >= '0' && t[i] <= '9' || t[i] == '.') {
		i++
	}
	n, err = strconv.ParseFloat(t[:i], 64)
	q, known := unitOf(strings.ToLower(strings.TrimSpace(t[i:])))
	if err != nil || !known || math.IsInf(n, 0) {
		return 0, q, fmt.Errorf("%q is not a size: %s", s, byteForms)
	}
	return n, q, nil
}

func unitOf(unit string) (q byteUnit, known bool) {
	if unit == "" || unit == "b" {
		return byteUnit{base: 1}, true
	}
	q.power = strings.IndexByte(bytePrefixes, unit[0]) + 1
	switch unit[1:] {
	case "":
		q.base, q.bare = 1024, true
	case "i", "ib":
		q.base = 1024
	case "b":
		q.base = 1000
	}
	return q, q.power > 0 && q.base > 0
}

func scale(s string, n float64, q byteUnit) (Bytes, error) {
	v := n * math.Pow(q.base, float64(q.power))
	if v >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is larger than any disk: write a size below 8EiB", s)
	}
	return Bytes(math.Round(v)), nil
}

// times writes a power of a base as people can check it: "1024 x 1024".
func times(base, power int) string {
	return strings.TrimSuffix(strings.Repeat(strconv.Itoa(base)+" x ", power), " x ")
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes) UnmarshalText(text []byte) error {
	v, err := ParseBytes(string(text))
	if err != nil {
		return err
	}
	*b = v
	return nil
}

// MarshalText implements encoding.TextMarshaler with the exact IEC form.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.exact()), nil }

// exact returns the shortest form that reads back as the same number.
func (b Bytes) exact() string {
	names := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	v, i := int64(b), 0
	for v != 0 && v%1024 == 0 && i < len(names)-1 {
		v /= 1024
		i++
	}
	return strconv.FormatInt(v, 10) + names[i]
}

// String returns the size with an IEC unit and at most one decimal: "1.5GiB".
func (b Bytes) String() string { return format(int64(b), "iB") }

// Legacy returns the size as the memory and cache of /health/memory have always written it: powers of
// 1024 with the short names ("512MB" is 512 x 1024 x 1024). Everything else uses String.
func (b Bytes) Legacy() string { return format(int64(b), "B") }

func format(n int64, suffix string) string {
	sign := ""
	v := float64(n)
	if v < 0 {
		sign, v = "-", -v
	}
	if v < 1024 {
		return sign + strconv.FormatFloat(v, 'f', 0, 64) + "B"
	}
	prefixes := "KMGTPE"
	i := -1
	for v >= 1024 && i < len(prefixes)-1 {
		v /= 1024
		i++
	}
	v = math.Round(v*10) / 10
	if v >= 1024 && i < len(prefixes)-1 {
		v /= 1024
		i++
	}
	decimals := 1
	if v >= 100 || v == math.Trunc(v) {
		decimals = 0
	}
	return sign + strconv.FormatFloat(v, 'f', decimals, 64) + prefixes[i:i+1] + suffix
}

// ParseDuration reads a length of time. Errors name the text and the accepted forms.
func ParseDuration(s string) (Duration, error) {
	bad := fmt.Errorf("%q is not a duration: write a number with a unit, such as 30s, 5m, 48h, 2d or 1w", s)
	rest := strings.TrimSpace(s)
	switch rest {
	case "":
		return 0, bad
	case "0":
		return 0, nil
	}
	var total float64 // nanoseconds of the day and week parts
	for {
		i := 0
		for i < len(rest) && (rest[i] >= '0' && rest[i] <= '9' || rest[i] == '.') {
			i++
		}
		if i == 0 || i == len(rest) || (rest[i] != 'd' && rest[i] != 'w') {
			break
		}
		n, err := strconv.ParseFloat(rest[:i], 64)
		if err != nil {
			return 0, bad
		}
		if rest[i] == 'w' {
			n *= 7
		}
		// To the microsecond, which is what a float64 has left: 0.3 days are 7h12m, not a nanosecond less.
		total += math.Round(n*float64(24*time.Hour/time.Microsecond)) * float64(time.Microsecond)
		rest = rest[i+1:]
		if rest == "" {
			break
		}
	}
	var tail time.Duration
	if rest != "" {
		var err error
		if tail, err = time.ParseDuration(rest); err != nil || tail < 0 {
			return 0, bad
		}
	}
	if total+float64(tail) >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is too long: write at most 290 years", s)
	}
	return Duration(total) + Duration(tail), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Std returns the value as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Seconds returns the value in seconds.
func (d Duration) Seconds() float64 { return time.Duration(d).Seconds() }

// String returns whole days as "2d", everything else as Go does without empty parts.
func (d Duration) String() string {
	const day = Duration(24 * time.Hour)
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// ParseRatio reads a share. Errors name the text and the accepted forms.
func ParseRatio(s string) (Ratio, error) {
	t := strings.TrimSpace(s)
	percent := strings.HasSuffix(t, "%")
	number := strings.TrimSpace(strings.TrimSuffix(t, "%"))
	if percent && !strings.ContainsAny(number, "eEpP") {
		number += "e-2" // a division would leave 99.99% a little below 0.9999
		percent = false
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is not a ratio: write 70%% or 0.7", s)
	}
	if percent {
		v /= 100
	}
	if v < 0 || v > 1 {
		return 0, fmt.Errorf("%q is outside 0%% to 100%%: write a share such as 70%% or 0.7", s)
	}
	return Ratio(v), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Ratio) UnmarshalText(text []byte) error {
	v, err := ParseRatio(string(text))
	if err != nil {
		return err
	}
	*r = v
	return nil
}

// MarshalText implements encoding.TextMarshaler with the shortest form that reads back as the same share.
func (r Ratio) MarshalText() ([]byte, error) {
	for digits := range 16 {
		text := strconv.FormatFloat(float64(r)*100, 'f', digits, 64) + "%"
		if back, err := ParseRatio(text); err == nil && back == r {
			return []byte(text), nil
		}
	}
	return []byte(strconv.FormatFloat(float64(r), 'f', -1, 64)), nil
}

// ratioDigits are the most decimals of a percentage: between 0% and 0.1%, and between 99.9% and 100%.
const ratioDigits = 4

// String returns the share as a percentage with at most one decimal: "45.2%". It has more where it would
// be 0% or 100% and is not: "99.99%".
func (r Ratio) String() string {
	v := float64(r) * 100
	round := func(digits float64) float64 { return math.Round(v*math.Pow(10, digits)) / math.Pow(10, digits) }
	text := round(1)
	for digits := 2.0; digits <= ratioDigits && (text == 0 && v > 0 || text == 100 && v < 100); digits++ {
		text = round(digits)
	}
	switch least := math.Pow(10, -ratioDigits); {
	case text == 0 && v > 0:
		text = least
	case text == 100 && v < 100:
		text -= least
	}
	return strconv.FormatFloat(text, 'f', -1, 64) + "%"
}
