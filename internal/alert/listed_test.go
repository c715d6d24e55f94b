package alert

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestDecodeList(t *testing.T) {
	for _, version := range []string{"0.25", "0.31"} {
		raw, err := os.ReadFile("testdata/list/" + version + "-alerts.json")
		if err != nil {
			t.Fatal(err)
		}
		alerts, err := DecodeList(strings.NewReader(string(raw)))
		if err != nil {
			t.Fatalf("%s: %v", version, err)
		}
		if len(alerts) != 2 {
			t.Fatalf("%s: %d alerts, want the two that are not silenced", version, len(alerts))
		}
		for _, a := range alerts {
			if a.Status != StatusFiring || a.Name() == "" || a.Labels[LabelInstance] == "" || a.StartsAt.IsZero() || len(a.Fingerprint) != 16 {
				t.Errorf("%s: %+v", version, a)
			}
		}
	}
}

func TestDecodeListMistakes(t *testing.T) {
	const good = `"labels":{"alertname":"A"},"annotations":{},"startsAt":"2026-11-23T10:31:29Z","endsAt":"2026-11-23T10:35:29Z"`
	f := func(body, says string) {
		t.Helper()
		_, err := DecodeList(strings.NewReader(body))
		var bad *DecodeError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60q: %v, want %q", body, err, says)
		}
	}
	f("", "is not a list of alerts")
	f("null", "is not a list of alerts")
	f(`{"status":"success"}`, "is not a list of alerts")
	f("<html>", "is not a list of alerts")
	f("[{]", "is not a list of alerts")
	f("\xff[]", "is not UTF-8")
	f("[{"+good+`}]`, "alerts[0].fingerprint: is missing")
	f(`[{"fingerprint":"a","labels":{"alertname":"A"},"startsAt":"soon"}]`, "alerts[0].startsAt")
	f("["+strings.Repeat(`{"fingerprint":"a",`+good+`},`, MaxAlerts)+`{"fingerprint":"a",`+good+`}]`, "2001 alerts are too many")
	f("["+strings.Repeat(" ", MaxListBytes)+"]", "larger than 8 MiB")
}

func FuzzDecodeList(f *testing.F) {
	for _, name := range []string{"0.25", "0.31"} {
		raw, err := os.ReadFile("testdata/list/" + name + "-alerts.json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw))
	}
	f.Add(`[{"fingerprint":"a","labels":{},"startsAt":"2026-11-23T10:31:29Z","status":{"state":"active"}}]`)
	f.Fuzz(func(t *testing.T, body string) {
		alerts, err := DecodeList(strings.NewReader(body))
		if err != nil {
			if _, ok := errors.AsType[*DecodeError](err); !ok {
				t.Fatalf("%v is not a DecodeError", err)
			}
			return
		}
		if len(alerts) > MaxAlerts {
			t.Fatalf("%d alerts", len(alerts))
		}
		for _, a := range alerts {
			if a.Fingerprint == "" || a.Status != StatusFiring || len(a.Labels) > MaxLabels {
				t.Fatalf("%+v", a)
			}
		}
	})
}
