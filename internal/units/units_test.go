package units

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestParseBytes(t *testing.T) {
	f := func(in string, want Bytes) {
		t.Helper()
		got, err := ParseBytes(in)
		if err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
	f("0", 0)
	f("1024", 1024)
	f("1GiB", 1<<30)
	f("1.5 MiB", 3<<19)
	f("512MB", 512e6)
	f("4Ki", 4096)
	for _, bad := range []string{"", "-1", "12 parsecs", "GiB", "1..2MB", "1e3", "9EiB", "99999999PiB", "NaN"} {
		if v, err := ParseBytes(bad); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", bad, v)
		}
	}
}

// TestBareUnit: 1G is 7 % more to some than to others, and the error says what to write.
func TestBareUnit(t *testing.T) {
	f := func(in, instead string) {
		t.Helper()
		v, err := ParseBytes(in)
		if err == nil || !strings.Contains(err.Error(), instead) {
			t.Errorf("ParseBytes(%q) = %d, %v, want an error with %q", in, v, err, instead)
		}
	}
	f("1G", "write 1GiB (1024 x 1024 x 1024 bytes) or 1GB (1000 x 1000 x 1000 bytes)")
	f("512m", "write 512MiB (1024 x 1024 bytes) or 512MB (1000 x 1000 bytes)")
	f("1.5 T", "write 1.5TiB")
	f("4k", "write 4KiB (1024 bytes) or 4KB (1000 bytes)")
	f("7P", "7PiB")
	f("1e", "1EiB")
}

// TestReportedBytes: a size that a service reports is of the family that is asked for; GiB is one of 1024
// for all.
func TestReportedBytes(t *testing.T) {
	f := func(in string, binary, decimal Bytes) {
		t.Helper()
		b, err := ParseReported(in, false)
		d, derr := ParseReported(in, true)
		if err != nil || derr != nil || b != binary || d != decimal {
			t.Errorf("%q is %d, %v or %d, %v, want %d or %d", in, b, err, d, derr, binary, decimal)
		}
	}
	f("512MB", 512<<20, 512e6)
	f("512M", 512<<20, 512e6)
	f("1.5 gb", 3<<29, 1.5e9)
	f("512MiB", 512<<20, 512<<20)
	f("1Gi", 1<<30, 1<<30)
	f("12", 12, 12)
	f("12B", 12, 12)
	if v, err := ParseReported("12 parsecs", false); err == nil {
		t.Errorf("12 parsecs are %d bytes", v)
	}
}

func TestBytesText(t *testing.T) {
	f := func(in Bytes, iec, short, exact string) {
		t.Helper()
		text, _ := in.MarshalText()
		if in.String() != iec || in.Legacy() != short || string(text) != exact {
			t.Errorf("%d = %q, %q, %q, want %q, %q, %q", in, in.String(), in.Legacy(), text, iec, short, exact)
		}
		var back Bytes
		if err := back.UnmarshalText(text); err != nil || back != in {
			t.Errorf("%q reads back as %d, %v, want %d", text, back, err, in)
		}
	}
	f(0, "0B", "0B", "0B")
	f(1<<30, "1GiB", "1GB", "1GiB")
	f(512<<20, "512MiB", "512MB", "512MiB")
	f(1536, "1.5KiB", "1.5KB", "1536B")
	f(1<<20-1, "1MiB", "1MB", "1048575B")
	f(456<<20+300<<10, "456MiB", "456MB", "467244KiB")
}

func TestDuration(t *testing.T) {
	f := func(in string, want time.Duration, text string) {
		t.Helper()
		got, err := ParseDuration(in)
		if err != nil || got.Std() != want || got.String() != text {
			t.Errorf("ParseDuration(%q) = %v %q, %v, want %v %q", in, got.Std(), got, err, want, text)
		}
	}
	f("30s", 30*time.Second, "30s")
	f("2d", 48*time.Hour, "2d")
	f("1w", 168*time.Hour, "7d")
	f("1d12h", 36*time.Hour, "36h")
	f("1h30m", 90*time.Minute, "1h30m")
	f("5m", 5*time.Minute, "5m")
	f("0", 0, "0s")
	for _, bad := range []string{"", "5", "-5m", "2dd", "d", "1d-3h", "400y", "999999999d"} {
		if v, err := ParseDuration(bad); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", bad, v)
		} else if !strings.Contains(err.Error(), "write") {
			t.Errorf("ParseDuration(%q): %v does not say what to write", bad, err)
		}
	}
}

func TestRatio(t *testing.T) {
	f := func(in string, want Ratio, text string) {
		t.Helper()
		got, err := ParseRatio(in)
		if err != nil || got != want || got.String() != text {
			t.Errorf("ParseRatio(%q) = %v %q, %v, want %v %q", in, float64(got), got, err, float64(want), text)
		}
	}
	f("70%", 0.7, "70%")
	f("0.7", 0.7, "70%")
	f("45.2%", 0.452, "45.2%")
	f("100%", 1, "100%")
	f("0%", 0, "0%")
	f("99.99%", .9999, "99.99%")
	f("99.96%", .9996, "99.96%")
	f("99.94%", .9994, "99.9%")
	f("99.999999%", .99999999, "99.9999%")
	f("0.01%", .0001, "0.01%")
	f("0.0000001%", 1e-9, "0.0001%")
	for _, bad := range []string{"", "70", "-1%", "101%", "NaN", "Inf", "seven"} {
		if v, err := ParseRatio(bad); err == nil {
			t.Errorf("ParseRatio(%q) = %v, want an error", bad, v)
		}
	}
}

// TestRatioRoundTrip: what MarshalText writes is read back as the same share, and what String writes is
// 0% and 100% only where the share is.
func TestRatioRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	shares := []Ratio{0, 1, .07, .7, .29, .9999, 1e-9, Ratio(math.Nextafter(1, 0)), 1. / 3}
	for range 2000 {
		shares = append(shares, Ratio(rng.Float64()), Ratio(rng.IntN(1001))/1000)
	}
	for _, r := range shares {
		text, err := r.MarshalText()
		var back Ratio
		if err != nil || back.UnmarshalText(text) != nil || back != r {
			t.Fatalf("%v is written %q, %v and read back as %v", float64(r), text, err, float64(back))
		}
		if s := r.String(); (s == "100%") != (r == 1) || (s == "0%") != (r == 0) {
			t.Errorf("%v is shown as %s", float64(r), s)
		}
	}
}
