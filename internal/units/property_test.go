package units

import (
	"encoding"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestByteUnits: each unit has the factor of its family, in every case and with a blank before it; the
// factors come from math/big here and from a table there.
func TestByteUnits(t *testing.T) {
	power := func(base, exponent int64) Bytes {
		return Bytes(new(big.Int).Exp(big.NewInt(base), big.NewInt(exponent), nil).Int64())
	}
	for i, letter := range []string{"k", "m", "g", "t", "p", "e"} {
		for suffix, base := range map[string]int64{"i": 1024, "ib": 1024, "b": 1000} {
			want := 3 * power(base, int64(i+1))
			for _, unit := range []string{letter + suffix, strings.ToUpper(letter + suffix), " " + strings.ToUpper(letter) + suffix} {
				if got, err := ParseBytes(" 3" + unit + " "); err != nil || got != want {
					t.Errorf("ParseBytes(%q) = %d, %v, want %d", "3"+unit, got, err, want)
				}
			}
		}
	}
}

// TestBytesRange: sizes end below 8EiB, parts of a byte are rounded, and each error says what to write.
func TestBytesRange(t *testing.T) {
	f := func(in string, want Bytes, says string) {
		t.Helper()
		got, err := ParseBytes(in)
		if says == "" && (err != nil || got != want) || says != "" && (err == nil || err.Error() != says) {
			t.Errorf("ParseBytes(%q) = %d, %v, want %d, %s", in, got, err, want, says)
		}
	}
	f("8191PiB", 8191<<50, "")
	f("7.5EiB", 15<<59, "")
	f("8192PiB", 0, `"8192PiB" is larger than any disk: write a size below 8EiB`)
	f("9223372036854775807", 0, `"9223372036854775807" is larger than any disk: write a size below 8EiB`)
	f("0.4", 0, "")
	f("0.5B", 1, "")
	f(".5KiB", 512, "")
	f("1.KiB", 1024, "")
	f("0.1GB", 1e8, "")
	f("1GiBs", 0, `"1GiBs" is not a size: write bytes or a number with a unit, such as 1GiB, 512MiB or 512MB`)
	f("+1", 0, `"+1" is not a size: write bytes or a number with a unit, such as 1GiB, 512MiB or 512MB`)
	f("1 GiB 2 MiB", 0, `"1 GiB 2 MiB" is not a size: write bytes or a number with a unit, such as 1GiB, 512MiB or 512MB`)
	f(strings.Repeat("9", 400), 0, `"`+strings.Repeat("9", 400)+`" is not a size: write bytes or a number with a unit, such as 1GiB, 512MiB or 512MB`)
}

// TestBytesRoundTrip: what MarshalText writes is read back as the same number, and what String writes
// is off by little more than half of its last digit.
func TestBytesRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	sizes := []Bytes{0, 1, 1023, 1024, 1025, 1<<20 - 1, 1 << 20, 1<<40 - 1, 1<<53 - 1, 1 << 53, 7 << 60}
	for range 2000 {
		sizes = append(sizes, Bytes(rng.Int64N(1<<53)>>rng.IntN(53)), Bytes(rng.Int64N(1024))<<(10*rng.IntN(6)))
	}
	for _, n := range sizes {
		text, err := n.MarshalText()
		var back Bytes
		if err != nil || back.UnmarshalText(text) != nil || back != n {
			t.Fatalf("%d is written %q, %v and read back as %d", n, text, err, back)
		}
		near, err := ParseBytes(n.String())
		if err != nil {
			t.Fatalf("%d: String gives %q: %v", n, n.String(), err)
		}
		unit, digit := 1.0, 0.0501 // half of a tenth, or of a whole above 100 after a tenth
		for float64(n)/unit >= 1024 {
			unit *= 1024
		}
		if float64(n)/unit >= 100 {
			digit = 0.5501
		}
		if off := math.Abs(float64(near - n)); off > unit*digit {
			t.Errorf("%d is shown as %s, which is %d", n, n, near)
		}
		if near.String() != n.String() {
			t.Errorf("%d is shown as %s, which written into a configuration is shown as %s", n, n, near)
		}
		if minus := (-n).String(); n > 0 && minus != "-"+n.String() {
			t.Errorf("String of %d: %q, want a minus before %q", -n, minus, n.String())
		}
	}
}

// TestDurationParts: days and weeks are exact to the nanosecond where the text is, alone and before
// what Go reads itself.
func TestDurationParts(t *testing.T) {
	const day = 24 * time.Hour
	for tenths := range 200 {
		text := strconv.Itoa(tenths/10) + "." + strconv.Itoa(tenths%10)
		for unit, length := range map[string]time.Duration{"d": day, "w": 7 * day} {
			want := time.Duration(tenths) * length / 10
			if got, err := ParseDuration(text + unit); err != nil || got.Std() != want {
				t.Errorf("ParseDuration(%q) = %v, %v, want %v", text+unit, got.Std(), err, want)
			}
			if got, err := ParseDuration(text + unit + "90s"); err != nil || got.Std() != want+90*time.Second {
				t.Errorf("ParseDuration(%q) = %v, %v, want %v", text+unit+"90s", got.Std(), err, want+90*time.Second)
			}
		}
	}
	f := func(in string, want time.Duration) {
		t.Helper()
		if got, err := ParseDuration(in); err != nil || got.Std() != want || got.Seconds() != want.Seconds() {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", in, got.Std(), err, want)
		}
	}
	f("1w2d3h", 7*day+2*day+3*time.Hour)
	f(" 250ms ", 250*time.Millisecond)
	f("106751d", 106751*day)
	f("1d0", day)
	for _, bad := range []string{"1.2.3d", ".d", "106752d", "1d 12h", "1day", "1h2d", "1D", "d1"} {
		if v, err := ParseDuration(bad); err == nil || !strings.HasPrefix(err.Error(), strconv.Quote(bad)+" is ") {
			t.Errorf("ParseDuration(%q) = %v, %v, want an error that names it", bad, v, err)
		}
	}
}

// TestTextRoundTrip: what a duration or ratio writes into a configuration is read back as the same one.
func TestTextRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	same := func(in encoding.TextMarshaler, back encoding.TextUnmarshaler, equal func() bool) {
		t.Helper()
		text, err := in.MarshalText()
		if err != nil || back.UnmarshalText(text) != nil || !equal() {
			t.Fatalf("%v is written %q, %v and read back as %v", in, text, err, back)
		}
	}
	for range 2000 {
		d := Duration(rng.Int64N(math.MaxInt64>>rng.IntN(62)) + 1)
		if rng.IntN(2) == 0 {
			d -= d % Duration(time.Minute)
		}
		var dBack Duration
		same(d, &dBack, func() bool { return dBack == d })
		r := Ratio(float64(rng.IntN(1001)) / 1000)
		var rBack Ratio
		same(r, &rBack, func() bool { return math.Abs(float64(rBack-r)) < 1e-12 })
	}
}

// TestBadTextChangesNothing: a value that is refused leaves what was there, and the error is that of
// the parser.
func TestBadTextChangesNothing(t *testing.T) {
	b, d, r := Bytes(7), Duration(7), Ratio(0.7)
	for want, v := range map[string]encoding.TextUnmarshaler{`"x" is not a size`: &b, `"x" is not a duration`: &d, `"x" is not a ratio`: &r} {
		if err := v.UnmarshalText([]byte("x")); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%T: %v, want %q", v, err, want)
		}
	}
	if b != 7 || d != 7 || r != 0.7 {
		t.Errorf("%d, %d, %v after texts that were refused", b, d, r)
	}
}

// TestRatioEdges: both ends belong to the range, and what is outside is named as written.
func TestRatioEdges(t *testing.T) {
	f := func(in string, want Ratio, says string) {
		t.Helper()
		got, err := ParseRatio(in)
		if says == "" && (err != nil || got != want) || says != "" && (err == nil || err.Error() != says) {
			t.Errorf("ParseRatio(%q) = %v, %v, want %v, %s", in, float64(got), err, float64(want), says)
		}
	}
	f("0", 0, "")
	f("0%", 0, "")
	f("1", 1, "")
	f(" 12.5 % ", 0.125, "")
	f("1.001", 0, `"1.001" is outside 0% to 100%: write a share such as 70% or 0.7`)
	f("-0.1", 0, `"-0.1" is outside 0% to 100%: write a share such as 70% or 0.7`)
	f("100.1%", 0, `"100.1%" is outside 0% to 100%: write a share such as 70% or 0.7`)
	f("%", 0, `"%" is not a ratio: write 70% or 0.7`)
	f("70%%", 0, `"70%%" is not a ratio: write 70% or 0.7`)
	f("+Inf", 0, `"+Inf" is not a ratio: write 70% or 0.7`)
}
