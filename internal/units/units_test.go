package units

import (
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
	f("4k", 4096)
	for _, bad := range []string{"", "-1", "12 parsecs", "GiB", "1..2MB", "1e3", "9EiB", "99999999PiB", "NaN"} {
		if v, err := ParseBytes(bad); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", bad, v)
		}
	}
}

func TestBytesText(t *testing.T) {
	f := func(in Bytes, iec, short, exact string) {
		t.Helper()
		text, _ := in.MarshalText()
		if in.String() != iec || in.Short() != short || string(text) != exact {
			t.Errorf("%d = %q, %q, %q, want %q, %q, %q", in, in.String(), in.Short(), text, iec, short, exact)
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
	for _, bad := range []string{"", "70", "-1%", "101%", "NaN", "Inf", "seven"} {
		if v, err := ParseRatio(bad); err == nil {
			t.Errorf("ParseRatio(%q) = %v, want an error", bad, v)
		}
	}
}
