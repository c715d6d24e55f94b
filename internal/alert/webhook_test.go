package alert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// decode reads what must be right.
func decode(t *testing.T, text string) Batch {
	t.Helper()
	b, err := DecodeWebhook(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The bodies that two real Alertmanagers sent, 0.25.0 and 0.31.0.
func TestDecodeRealPayloads(t *testing.T) {
	at := func(s string) time.Time {
		t.Helper()
		v, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	labels := func(name, target, playbook string, more ...string) map[string]string {
		m := map[string]string{LabelName: name, LabelInstance: "127.0.0.1:10042", LabelTarget: target, LabelPlaybook: playbook}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	critical := labels("SpillwayMemoryCritical", "orchestrator", "relieve_memory", "job", "spillway", LabelLevel, "critical", LabelSeverity, "critical")
	notes := map[string]string{
		"description": "orchestrator uses 87.3% of its memory limit.",
		"summary":     "Memory of a target is above its critical threshold.",
	}
	expired := func(dir, fingerprint string) Alert {
		return Alert{
			Status: StatusFiring, Fingerprint: fingerprint, Annotations: map[string]string{},
			Labels: labels("SpillwayTempFilesExpired", "orchestrator", "clean_temp", "job", "spillway", LabelSeverity, "warning", "dir", dir),
		}
	}
	trunc := func(target, fingerprint string) Alert {
		return Alert{Status: StatusFiring, Fingerprint: fingerprint, Annotations: map[string]string{}, Labels: labels("Trunc", target, "trim_cache")}
	}
	for _, version := range []struct{ name, firing, group, resolved, truncated string }{
		{"0.25", "2026-11-23T10:31:29.971426118Z", "2026-11-23T10:31:29.982557476Z", "2026-11-23T10:31:35Z", "2026-11-23T10:31:29.997311225Z"},
		{"0.31", "2026-11-23T10:31:49.046212425Z", "2026-11-23T10:31:49.05728831Z", "2026-11-23T10:31:54Z", "2026-11-23T10:31:49.072464679Z"},
	} {
		firing := Alert{
			Status: StatusFiring, Labels: critical, Annotations: notes, StartsAt: at(version.firing),
			GeneratorURL: "http://127.0.0.1:9090/graph?g0.expr=x", Fingerprint: "03fbd0809c15fb23",
		}
		resolved := firing
		resolved.Status, resolved.EndsAt, resolved.GeneratorURL = StatusResolved, at(version.resolved), ""
		group := []Alert{expired("subs", "8313df3f816cd945"), expired("tts", "73a73c54cd47eab5")}
		truncated := []Alert{trunc("t1", "a2aeec7f6e84d9c3"), trunc("t2", "a2aaec7f6e80f0ec")}
		for i := range 2 {
			group[i].StartsAt, truncated[i].StartsAt = at(version.group), at(version.truncated)
		}
		want := map[string]Batch{
			"firing":       {Receiver: "ok", GroupKey: `{}:{alertname="SpillwayMemoryCritical"}`, Alerts: []Alert{firing}},
			"resolved":     {Receiver: "ok", GroupKey: `{}:{alertname="SpillwayMemoryCritical"}`, Alerts: []Alert{resolved}},
			"group-of-two": {Receiver: "ok", GroupKey: `{}:{alertname="SpillwayTempFilesExpired"}`, Alerts: group},
			"truncated":    {Receiver: "trunc", GroupKey: `{}/{alertname="Trunc"}:{alertname="Trunc"}`, Alerts: truncated, Truncated: 3},
		}
		for name, w := range want {
			t.Run(version.name+"-"+name, func(t *testing.T) {
				raw, err := os.ReadFile(filepath.Join("testdata", version.name+"-"+name+".json"))
				if err != nil {
					t.Fatal(err)
				}
				w.Trigger = TriggerWebhook
				if diff := cmp.Diff(w, decode(t, string(raw))); diff != "" {
					t.Errorf("decoded (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestDecodeGrafana: the payload of Grafana Alerting, as its documentation has it.
func TestDecodeGrafana(t *testing.T) {
	raw, err := os.ReadFile("testdata/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	b := decode(t, string(raw))
	want := Batch{Trigger: TriggerWebhook, Receiver: "spillway", GroupKey: `{}/{playbook=~".+"}:{alertname="Cache too large"}`, Truncated: 1, Alerts: []Alert{
		{
			Status: StatusFiring, Fingerprint: "57c6d9296de2ad39", StartsAt: time.Date(2026, 11, 23, 9, 31, 20, 0, time.UTC), GeneratorURL: "https://grafana.example.org/alerting/grafana/cfw7/view?orgId=1",
			Labels: map[string]string{
				LabelName: "Cache too large", "grafana_folder": "Spillway", LabelInstance: "web-1:10042", LabelTarget: "orchestrator", LabelPlaybook: "trim_cache", LabelSeverity: "warning",
			},
			Annotations: map[string]string{"summary": "media is over its limit"},
		},
		{
			Status: StatusFiring, Fingerprint: "a0b6d1f6a3f2c4e1", StartsAt: time.Date(2026, 11, 23, 10, 31, 20, 0, time.UTC), Annotations: map[string]string{},
			Labels: map[string]string{LabelName: "DatasourceNoData", "rulename": "Cache too large", "datasource_uid": "prom", "ref_id": "A", "grafana_folder": "Spillway", LabelTarget: "orchestrator", LabelPlaybook: "trim_cache"},
		},
	}}
	if diff := cmp.Diff(want, b); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
	if b.Alerts[0].Unjudged() || !b.Alerts[1].Unjudged() {
		t.Error("that Grafana has no data is not seen")
	}
}

func TestUnjudged(t *testing.T) {
	f := func(want bool, labels ...string) {
		t.Helper()
		a := Alert{Labels: make(map[string]string)}
		for pair := range slices.Chunk(labels, 2) {
			a.Labels[pair[0]] = pair[1]
		}
		if got := a.Unjudged(); got != want {
			t.Errorf("%v: %v", labels, got)
		}
	}
	f(true, LabelName, "DatasourceNoData", "rulename", "r")
	f(true, LabelName, "DatasourceError", "rulename", "r")
	f(false, LabelName, "DatasourceError") // an alert of one's own
	f(false, LabelName, "A", "rulename", "r")
}

const goodAlert = `{"status":"firing","labels":{"alertname":"A","target":"t"},"startsAt":"2026-11-23T10:31:29Z","fingerprint":"00ff"}`

func notification(alerts ...string) string {
	return `{"version":"4","receiver":"r","alerts":[` + strings.Join(alerts, ",") + `]}`
}

func TestDecodeMinimal(t *testing.T) {
	want := Batch{Trigger: TriggerWebhook, Receiver: "r", Alerts: []Alert{{
		Status: StatusFiring, Labels: map[string]string{"alertname": "A", "target": "t"}, Fingerprint: "00ff",
		StartsAt: time.Date(2026, 11, 23, 10, 31, 29, 0, time.UTC),
	}}}
	if diff := cmp.Diff(want, decode(t, notification(goodAlert))); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
	if b := decode(t, notification()); len(b.Alerts) != 0 {
		t.Errorf("an empty list has %d alerts", len(b.Alerts))
	}
	later := strings.Replace(notification(goodAlert), `"receiver"`, `"notifierVersion":{"a":[1,{}]},"receiver"`, 1)
	if b := decode(t, later+" \n\t"); len(b.Alerts) != 1 {
		t.Error("a field of a later version is not ignored")
	}
	offset := strings.Replace(notification(goodAlert), "10:31:29Z", "12:31:29.5+02:00", 1)
	if got := decode(t, offset).Alerts[0].Key(); got != "00ff/2026-11-23T10:31:29.5Z/firing" {
		t.Errorf("key %q of a time with an offset", got)
	}
}

func TestDecodeMistakes(t *testing.T) {
	with := func(old, new string) string {
		if !strings.Contains(goodAlert, old) {
			t.Fatalf("the good alert has no %q", old)
		}
		return notification(goodAlert, strings.Replace(goodAlert, old, new, 1))
	}
	many := func(n int, format string) string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf(format, i))
		}
		return strings.Join(out, ",")
	}
	tests := []struct {
		name, body, want string
		tooLarge         bool
	}{
		{name: "empty", body: "", want: "byte 0: the body is empty: send an Alertmanager notification as JSON"},
		{name: "a form", body: "status=firing", want: "byte 0: is not JSON (invalid character 's' looking for beginning of value): send an Alertmanager notification as JSON"},
		{name: "cut off", body: notification(goodAlert)[:60], want: "byte 60: the JSON ends too early: send the whole notification"},
		{name: "a list", body: "[]", want: "the notification (byte 1): is a JSON array: send an object"},
		{name: "two", body: notification() + "\n{}", want: "byte 43: something follows the notification: send one JSON object and nothing after it"},
		{name: "garbage after it", body: notification() + "x", want: "byte 42: something follows the notification: send one JSON object and nothing after it"},
		{name: "not UTF-8", body: strings.Replace(notification(goodAlert), `"A"`, "\"\xff\"", 1), want: "byte 82: is not UTF-8: send JSON in UTF-8"},
		{name: "null", body: "null", want: `version: is missing: send Alertmanager's webhook payload, version "4", or Grafana's, version "1"`},
		{name: "no version", body: `{"alerts":[]}`, want: `version: is missing: send Alertmanager's webhook payload, version "4", or Grafana's, version "1"`},
		{name: "version 3", body: `{"version":"3","alerts":[]}`, want: `version: is "3": send "4", the payload of Alertmanager 0.16 and later, or "1", that of Grafana Alerting`},
		{name: "version as a number", body: `{"version":4,"alerts":[]}`, want: "version (byte 12): is a JSON number: send a string"},
		{name: "no alerts", body: `{"version":"4"}`, want: "alerts: is missing: send the list of alerts, [] when there are none"},
		{name: "alerts as an object", body: `{"version":"4","alerts":{}}`, want: "alerts (byte 25): is a JSON object: send a list"},
		{name: "negative truncated", body: `{"version":"4","truncatedAlerts":-1,"alerts":[]}`, want: "truncatedAlerts (byte 35): is a JSON number -1: send a whole number from 0"},
		{name: "no status", body: with(`"status":"firing",`, ""), want: `alerts[1].status: is missing: send "firing" or "resolved"`},
		{name: "status", body: with(`"firing"`, `"pending"`), want: `alerts[1].status: is "pending": send "firing" or "resolved"`},
		{name: "no labels", body: with(`"labels"`, `"tags"`), want: "alerts[1].labels: is missing: send the labels of the alert"},
		{name: "null label", body: with(`"t"`, `null`), want: "alerts[1].labels.target: is null: send a string"},
		{name: "label as a number", body: with(`"t"`, `7`), want: "alerts[1].labels (byte 210): is a JSON number: send a string"},
		{name: "label without a name", body: with(`"target"`, `""`), want: "alerts[1].labels: one has no name: send a name for each value"},
		{name: "no fingerprint", body: with(`"fingerprint"`, `"print"`), want: "alerts[1].fingerprint: is missing: send what Alertmanager sends, such as 03fbd0809c15fb23"},
		{name: "fingerprint", body: with(`"00ff"`, `"a\nb"`), want: `alerts[1].fingerprint: "a\nb" is not printable ASCII: send what Alertmanager sends, such as 03fbd0809c15fb23`},
		{name: "no startsAt", body: with(`"startsAt"`, `"started"`), want: "alerts[1].startsAt: is missing: send the time as RFC 3339, such as 2026-11-23T10:31:29Z"},
		{name: "startsAt", body: with("2026-11-23T10:31:29Z", "yesterday"), want: `alerts[1].startsAt: "yesterday" is not a time: send RFC 3339, such as 2026-11-23T10:31:29Z`},
		{name: "startsAt as a number", body: with(`"2026-11-23T10:31:29Z"`, "1795429889"), want: "alerts[1].startsAt (byte 235): is a JSON number: send a string"},
		{name: "a year of five digits", body: with("2026-11-23T10:31:29Z", "9999-12-31T23:59:59-23:00"), want: `alerts[1].startsAt: "9999-12-31T23:59:59-23:00" is not in a year from 0 to 9999: send RFC 3339, such as 2026-11-23T10:31:29Z`},
		{name: "endsAt", body: with(`"startsAt"`, `"endsAt":"soon","startsAt"`), want: `alerts[1].endsAt: "soon" is not a time: send RFC 3339, such as 2026-11-23T10:31:29Z`},

		{name: "large", body: `{"x":"` + strings.Repeat("a", MaxBodyBytes) + `"}`, tooLarge: true, want: "the body is larger than 1 MiB: set max_alerts in the receiver, or group by instance, alertname and target"},
		{name: "many alerts", body: notification(slices.Repeat([]string{goodAlert}, MaxAlerts+1)...), tooLarge: true, want: "alerts: 2001 are too many: send at most 2000, by max_alerts in the receiver"},
		{name: "many labels", body: with(`"target":"t"`, many(MaxLabels, `"l%d":"v"`)), tooLarge: true, want: "alerts[1].labels: 65 are too many: send at most 64"},
		{name: "many annotations", body: with(`"startsAt"`, `"annotations":{`+many(MaxLabels+1, `"l%d":"v"`)+`},"startsAt"`), tooLarge: true, want: "alerts[1].annotations: 65 are too many: send at most 64"},
		{name: "long name", body: with(`"target"`, `"`+strings.Repeat("n", MaxNameBytes+1)+`"`), tooLarge: true, want: `alerts[1].labels: the name "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"... has 257 bytes: send at most 256`},
		{name: "long value", body: with(`"t"`, `"`+strings.Repeat("v", MaxValueBytes+1)+`"`), tooLarge: true, want: "alerts[1].labels.target: has 16385 bytes: send at most 16384"},
		{name: "long fingerprint", body: with("00ff", strings.Repeat("f", 65)), tooLarge: true, want: "alerts[1].fingerprint: has 65 bytes: send at most 64, such as 03fbd0809c15fb23"},
		{name: "long generatorURL", body: with(`"startsAt"`, `"generatorURL":"`+strings.Repeat("u", MaxValueBytes+1)+`","startsAt"`), tooLarge: true, want: "alerts[1].generatorURL: has 16385 bytes: send at most 16384"},
		{name: "long receiver", body: strings.Replace(notification(), `"r"`, `"`+strings.Repeat("r", MaxValueBytes+1)+`"`, 1), tooLarge: true, want: "receiver: has 16385 bytes: send at most 16384"},
		{name: "long groupKey", body: strings.Replace(notification(), `"receiver"`, `"groupKey":"`+strings.Repeat("g", MaxValueBytes+1)+`","receiver"`, 1), tooLarge: true, want: "groupKey: has 16385 bytes: send at most 16384"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := DecodeWebhook(strings.NewReader(tt.body))
			var e *DecodeError
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want a DecodeError", err)
			}
			if e.Error() != tt.want || e.TooLarge != tt.tooLarge {
				t.Errorf("got  %q, too large %v\nwant %q, too large %v", e, e.TooLarge, tt.want, tt.tooLarge)
			}
		})
	}
}

func TestDecodeReadError(t *testing.T) {
	_, err := DecodeWebhook(io.MultiReader(strings.NewReader("{"), iotest.ErrReader(os.ErrDeadlineExceeded)))
	var e *DecodeError
	if !errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &e) {
		t.Errorf("error %v, want that of the reader and no DecodeError", err)
	}
}

func TestNormalizeInstance(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := NormalizeInstance(in); got != want {
			t.Errorf("NormalizeInstance(%q) = %q, want %q", in, got, want)
		}
	}
	f("Web-1.Example:10042", "web-1.example:10042")
	f("web:80", "web")
	f("web:443", "web")
	f("web:8080", "web:8080")
	f("[::1]:80", "[::1]")
	f("fe80::1:80", "fe80::1:80")
	f(" web ", "web")
}

// FuzzDecodeWebhook: never panics, keeps its limits, and what was decoded decodes to the same
// after it was encoded.
func FuzzDecodeWebhook(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no payloads: %v", err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(notification(goodAlert, goodAlert)))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := DecodeWebhook(strings.NewReader(string(raw)))
		if err != nil {
			var e *DecodeError
			if !errors.As(err, &e) || e.Problem == "" || e.Offset > int64(len(raw)) {
				t.Fatalf("error %v of bytes that were read", err)
			}
			return
		}
		if len(b.Alerts) > MaxAlerts {
			t.Fatalf("%d alerts", len(b.Alerts))
		}
		for i := range b.Alerts {
			if a := &b.Alerts[i]; a.Fingerprint == "" || a.StartsAt.Location() != time.UTC || a.Labels == nil {
				t.Fatalf("alert %d is incomplete: %+v", i, a)
			}
		}
		again, err := json.Marshal(map[string]any{
			"version": webhookVersion, "receiver": b.Receiver, "groupKey": b.GroupKey, "truncatedAlerts": b.Truncated,
			"alerts": append([]Alert{}, b.Alerts...),
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > MaxBodyBytes {
			return // escapes make it longer
		}
		twice, err := DecodeWebhook(strings.NewReader(string(again)))
		if err != nil {
			t.Fatalf("%v in %s", err, again)
		}
		for i := range b.Alerts {
			if len(b.Alerts[i].Annotations) == 0 {
				b.Alerts[i].Annotations, twice.Alerts[i].Annotations = nil, nil // omitted when empty
			}
		}
		if diff := cmp.Diff(b, twice); diff != "" {
			t.Fatalf("decoded twice (-first +second):\n%s", diff)
		}
	})
}

func BenchmarkDecodeWebhook(b *testing.B) {
	raw, err := os.ReadFile("testdata/0.31-firing.json")
	if err != nil {
		b.Fatal(err)
	}
	text := string(raw)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeWebhook(strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}

// What two members of a cluster that do not hear of each other send for one alert has one key.
func TestClusterDuplicates(t *testing.T) {
	var keys []string
	for _, member := range []string{"a", "b"} {
		raw, err := os.ReadFile("testdata/0.31-cluster-" + member + ".json")
		if err != nil {
			t.Fatal(err)
		}
		b, err := DecodeWebhook(bytes.NewReader(raw))
		if err != nil || len(b.Alerts) != 1 {
			t.Fatalf("%s: %d alerts, %v", member, len(b.Alerts), err)
		}
		keys = append(keys, b.Alerts[0].Key())
	}
	if keys[0] != keys[1] {
		t.Errorf("keys %q", keys)
	}
}
