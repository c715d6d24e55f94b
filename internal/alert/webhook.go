package alert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The limits of a notification. Alertmanager's own are far below them.
const (
	MaxBodyBytes   = 1 << 20  // of the request's body
	MaxAlerts      = 2000     // in one notification
	MaxLabels      = 64       // labels, and annotations, of one alert
	MaxNameBytes   = 256      // of a label's or annotation's name
	MaxValueBytes  = 16 << 10 // of a label's or annotation's value, and of any other text
	MaxFingerprint = 64       // bytes of a fingerprint
)

// The versions of the payload: Alertmanager's, and that of Grafana Alerting, which has the same fields and more.
const (
	webhookVersion = "4"
	grafanaVersion = "1"
)

// DecodeError says in one sentence what is wrong with a notification, where, and what to send
// instead.
type DecodeError struct {
	Field    string // such as alerts[1].startsAt; "" when the place is a byte
	Offset   int64  // the byte at which reading failed, from 0; -1 when the place is a field
	Problem  string // what is wrong and what to send instead
	TooLarge bool   // a limit is exceeded: the answer is 413, else 400
}

// Error implements error.
func (e *DecodeError) Error() string {
	switch {
	case e.Field != "" && e.Offset >= 0:
		return fmt.Sprintf("%s (byte %d): %s", e.Field, e.Offset, e.Problem)
	case e.Field != "":
		return e.Field + ": " + e.Problem
	case e.Offset >= 0:
		return fmt.Sprintf("byte %d: %s", e.Offset, e.Problem)
	}
	return e.Problem
}

func badField(field, format string, args ...any) *DecodeError {
	return &DecodeError{Field: field, Offset: -1, Problem: fmt.Sprintf(format, args...)}
}

func tooLarge(field, format string, args ...any) *DecodeError {
	e := badField(field, format, args...)
	e.TooLarge = true
	return e
}

// payload is version 4, or 1, as it is on the wire, without the parts that are not used.
type payload struct {
	Version         *string     `json:"version"`
	Receiver        string      `json:"receiver"`
	GroupKey        string      `json:"groupKey"`
	TruncatedAlerts uint64      `json:"truncatedAlerts"`
	Alerts          []wireAlert `json:"alerts"`
}

// wireAlert keeps times as texts, so that a wrong one is reported with its field.
type wireAlert struct {
	Status       string             `json:"status"`
	Labels       map[string]*string `json:"labels"`
	Annotations  map[string]*string `json:"annotations"`
	StartsAt     string             `json:"startsAt"`
	EndsAt       string             `json:"endsAt"`
	GeneratorURL string             `json:"generatorURL"`
	Fingerprint  string             `json:"fingerprint"`
}

// DecodeWebhook reads a notification of Alertmanager's webhook, payload version 4, or Grafana's, version 1. Unknown fields
// are ignored, since newer versions add some; all labels are kept. The error is a *DecodeError
// when the sender is to blame, else that of r.
func DecodeWebhook(r io.Reader) (Batch, error) {
	body, err := io.ReadAll(io.LimitReader(r, MaxBodyBytes+1))
	if err != nil {
		return Batch{}, fmt.Errorf("read the notification: %w", err)
	}
	if len(body) > MaxBodyBytes {
		return Batch{}, tooLarge("", "the body is larger than 1 MiB: set max_alerts in the receiver, or group by instance, alertname and target")
	}
	if at := invalidUTF8(body); at >= 0 {
		return Batch{}, &DecodeError{Offset: int64(at), Problem: "is not UTF-8: send JSON in UTF-8"}
	}
	var p payload
	if err := unmarshal(body, &p); err != nil {
		return Batch{}, err
	}
	if err := p.check(); err != nil {
		return Batch{}, err
	}
	b := Batch{Trigger: TriggerWebhook, Receiver: p.Receiver, GroupKey: p.GroupKey, Truncated: p.TruncatedAlerts}
	if len(p.Alerts) > 0 {
		b.Alerts = make([]Alert, len(p.Alerts))
	}
	for i := range p.Alerts {
		if err := p.Alerts[i].read(&b.Alerts[i], i); err != nil {
			return Batch{}, err
		}
	}
	return b, nil
}

func invalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// unmarshal reads one JSON value that is all of body.
func unmarshal(body []byte, p *payload) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	err := dec.Decode(p)
	var (
		syntax *json.SyntaxError
		kind   *json.UnmarshalTypeError
	)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		return &DecodeError{Offset: 0, Problem: "the body is empty: send an Alertmanager notification as JSON"}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &DecodeError{Offset: int64(len(body)), Problem: "the JSON ends too early: send the whole notification"}
	case errors.As(err, &syntax):
		return &DecodeError{Offset: max(syntax.Offset-1, 0), Problem: fmt.Sprintf("is not JSON (%s): send an Alertmanager notification as JSON", syntax)}
	case errors.As(err, &kind):
		field := kind.Field
		switch rest, ok := strings.CutPrefix(field, "alerts."); {
		case field == "":
			field = "the notification"
		case ok:
			field = fmt.Sprintf("alerts[%d].%s", misread(body), rest)
		}
		return &DecodeError{Field: field, Offset: kind.Offset, Problem: fmt.Sprintf("is a JSON %s: send %s", kind.Value, jsonForm(kind.Type.Kind().String()))}
	default:
		return &DecodeError{Offset: dec.InputOffset(), Problem: fmt.Sprintf("cannot be read (%v): send an Alertmanager notification as JSON", err)}
	}
	rest := body[dec.InputOffset():]
	if trimmed := bytes.TrimLeft(rest, " \t\r\n"); len(trimmed) > 0 {
		return &DecodeError{Offset: int64(len(body) - len(trimmed)), Problem: "something follows the notification: send one JSON object and nothing after it"}
	}
	return nil
}

// misread returns the index of the first alert that is not of the right form.
func misread(body []byte) int {
	var p struct {
		Alerts []json.RawMessage `json:"alerts"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return 0
	}
	return max(0, slices.IndexFunc(p.Alerts, func(raw json.RawMessage) bool {
		var w wireAlert
		return json.Unmarshal(raw, &w) != nil
	}))
}

func jsonForm(kind string) string {
	switch kind {
	case "string", "ptr":
		return "a string"
	case "uint64":
		return "a whole number from 0"
	case "slice":
		return "a list"
	}
	return "an object"
}

func (p *payload) check() error {
	switch {
	case p.Version == nil:
		return badField("version", `is missing: send Alertmanager's webhook payload, version "4", or Grafana's, version "1"`)
	case *p.Version != webhookVersion && *p.Version != grafanaVersion:
		return badField("version", `is %.20q: send "4", the payload of Alertmanager 0.16 and later, or "1", that of Grafana Alerting`, *p.Version)
	case p.Alerts == nil:
		return badField("alerts", "is missing: send the list of alerts, [] when there are none")
	case len(p.Alerts) > MaxAlerts:
		return tooLarge("alerts", "%d are too many: send at most %d, by max_alerts in the receiver", len(p.Alerts), MaxAlerts)
	case len(p.Receiver) > MaxValueBytes:
		return tooLarge("receiver", "has %d bytes: send at most %d", len(p.Receiver), MaxValueBytes)
	case len(p.GroupKey) > MaxValueBytes:
		return tooLarge("groupKey", "has %d bytes: send at most %d", len(p.GroupKey), MaxValueBytes)
	}
	return nil
}

// read checks one alert and copies it to a.
func (w *wireAlert) read(a *Alert, i int) error {
	field := func(name string) string { return fmt.Sprintf("alerts[%d].%s", i, name) }
	switch Status(w.Status) {
	case StatusFiring, StatusResolved:
	case "":
		return badField(field("status"), `is missing: send "firing" or "resolved"`)
	default:
		return badField(field("status"), `is %.20q: send "firing" or "resolved"`, w.Status)
	}
	if w.Labels == nil {
		return badField(field("labels"), "is missing: send the labels of the alert")
	}
	if err := checkFingerprint(w.Fingerprint, field("fingerprint")); err != nil {
		return err
	}
	if len(w.GeneratorURL) > MaxValueBytes {
		return tooLarge(field("generatorURL"), "has %d bytes: send at most %d", len(w.GeneratorURL), MaxValueBytes)
	}
	a.Status, a.Fingerprint, a.GeneratorURL = Status(w.Status), w.Fingerprint, w.GeneratorURL
	var err error
	if a.Labels, err = readTexts(w.Labels, field("labels")); err != nil {
		return err
	}
	if a.Annotations, err = readTexts(w.Annotations, field("annotations")); err != nil {
		return err
	}
	if w.StartsAt == "" {
		return badField(field("startsAt"), "is missing: send the time as RFC 3339, such as 2026-11-23T10:31:29Z")
	}
	if a.StartsAt, err = readTime(w.StartsAt, field("startsAt")); err != nil {
		return err
	}
	if w.EndsAt != "" {
		if a.EndsAt, err = readTime(w.EndsAt, field("endsAt")); err != nil {
			return err
		}
	}
	return nil
}

func checkFingerprint(s, field string) error {
	switch {
	case s == "":
		return badField(field, "is missing: send what Alertmanager sends, such as 03fbd0809c15fb23")
	case len(s) > MaxFingerprint:
		return tooLarge(field, "has %d bytes: send at most %d, such as 03fbd0809c15fb23", len(s), MaxFingerprint)
	}
	for _, r := range s {
		if r <= ' ' || r >= 0x7f {
			return badField(field, "%.80q is not printable ASCII: send what Alertmanager sends, such as 03fbd0809c15fb23", s)
		}
	}
	return nil
}

func readTexts(in map[string]*string, field string) (map[string]string, error) {
	if len(in) > MaxLabels {
		return nil, tooLarge(field, "%d are too many: send at most %d", len(in), MaxLabels)
	}
	if in == nil {
		return nil, nil
	}
	out := make(map[string]string, len(in))
	for name, value := range in {
		switch {
		case name == "":
			return nil, badField(field, "one has no name: send a name for each value")
		case len(name) > MaxNameBytes:
			return nil, tooLarge(field, "the name %.40q... has %d bytes: send at most %d", name, len(name), MaxNameBytes)
		case value == nil:
			return nil, badField(field+"."+name, "is null: send a string")
		case len(*value) > MaxValueBytes:
			return nil, tooLarge(field+"."+name, "has %d bytes: send at most %d", len(*value), MaxValueBytes)
		}
		out[name] = *value
	}
	return out, nil
}

func readTime(s, field string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, badField(field, "%.40q is not a time: send RFC 3339, such as 2026-11-23T10:31:29Z", s)
	}
	t = t.UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return t, badField(field, "%.40q is not in a year from 0 to 9999: send RFC 3339, such as 2026-11-23T10:31:29Z", s)
	}
	return t, nil
}
