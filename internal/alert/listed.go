package alert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// MaxListBytes bounds an answer of Alertmanager's API.
const MaxListBytes = 8 << 20

// listedAlert is an entry of GET /api/v2/alerts, without the parts that are not used.
type listedAlert struct {
	wireAlert

	Status struct {
		State string `json:"state"` // active, suppressed, unprocessed
	} `json:"status"`
}

// DecodeList reads the answer to GET /api/v2/alerts. Alerts that are silenced or inhibited are left
// out: they are not to be acted on. The others are firing. The error is a *DecodeError when the
// answer is not what Alertmanager gives, else that of r.
func DecodeList(r io.Reader) ([]Alert, error) {
	body, err := io.ReadAll(io.LimitReader(r, MaxListBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the alerts: %w", err)
	}
	if len(body) > MaxListBytes {
		return nil, tooLarge("", "the answer is larger than 8 MiB: fewer alerts have to ask one host for a remedy")
	}
	if at := invalidUTF8(body); at >= 0 {
		return nil, &DecodeError{Offset: int64(at), Problem: "is not UTF-8: this is not the API of an Alertmanager"}
	}
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) {
		return nil, &DecodeError{Offset: 0, Problem: "is not a list of alerts: write the address of an Alertmanager"}
	}
	var listed []listedAlert
	if err := json.Unmarshal(body, &listed); err != nil {
		return nil, &DecodeError{Offset: -1, Problem: fmt.Sprintf("is not a list of alerts (%v): write the address of an Alertmanager", err)}
	}
	if len(listed) > MaxAlerts {
		return nil, tooLarge("", "%d alerts are too many: at most %d can ask one host for a remedy", len(listed), MaxAlerts)
	}
	out := make([]Alert, 0, len(listed))
	for i := range listed {
		l := &listed[i]
		if l.Status.State == "suppressed" {
			continue
		}
		l.wireAlert.Status = string(StatusFiring)
		var a Alert
		if err := l.read(&a, i); err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}
