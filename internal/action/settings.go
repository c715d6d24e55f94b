package action

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/strictyaml"
)

// Settings are what a step of a playbook gives its action. Each action has a struct of its own, whose
// yaml keys are keys of the step.
type Settings interface {
	// Validate applies the defaults and reports every mistake.
	Validate(report report.Func)
	// String says what the step does, for the journal: "command /bin/true".
	String() string
}

// ownerOf returns the action whose step has a key among its settings, "" when none has.
func ownerOf(key string) string {
	for i := range Table {
		if s := Table[i].Settings; s != nil && slices.Contains(strictyaml.FieldNames(reflect.TypeOf(s()).Elem()), key) {
			return Table[i].Name
		}
	}
	return ""
}

// Misplaced says what is wrong with a key of a step that is a setting of another action; "" when it
// is none of any.
func Misplaced(key string) string {
	if owner := ownerOf(key); owner != "" {
		return fmt.Sprintf("is for %s: remove the key", owner)
	}
	return ""
}

// message is what a command finds on its standard input and an http step sends: the alert as
// Alertmanager's webhook writes it, when one asked, the run, and what the run has removed so far.
type message struct {
	*alert.Alert
	Run     messageRun      `json:"run"`
	Removed *removedMessage `json:"removed,omitempty"`
}

type messageRun struct {
	ID       string `json:"id"`
	Target   string `json:"target"`
	Playbook string `json:"playbook"`
	Trigger  string `json:"trigger"`
	Level    string `json:"level"`
}

func newMessage(req *Request) message {
	return message{Alert: req.Alert, Removed: req.Removed.message(), Run: messageRun{
		ID: req.RunID, Target: req.Target, Playbook: req.Playbook, Trigger: req.Trigger, Level: req.Level.String(),
	}}
}
