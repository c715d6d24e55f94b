package action

import (
	"fmt"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The actions that a step has to tell what to do. They have no settings of the target.
const (
	NameCommand = "command"
	NameHTTP    = "http"
	NameSignal  = "signal"
	NameReclaim = "reclaim_cgroup"
)

// Settings are what a step of a playbook tells its action. Each field belongs to one action.
type Settings struct {
	Argv      []string    `yaml:"argv"`       // command: the program, absolute, and its arguments
	Env       []string    `yaml:"env"`        // command: names of variables that are passed on
	URL       string      `yaml:"url"`        // http: where to POST, on loopback or a host of hosts
	Hosts     []string    `yaml:"hosts"`      // http: hosts beside loopback that the URL may name
	Body      string      `yaml:"body"`       // http: the body; else the alert and the run as JSON
	TokenFile string      `yaml:"token_file"` // http: a file with a bearer token
	Signal    string      `yaml:"signal"`     // signal: its name, such as SIGUSR2
	All       bool        `yaml:"all"`        // signal: every matched process, not only the oldest
	Amount    units.Bytes `yaml:"amount"`     // reclaim_cgroup: how much the kernel is asked to reclaim
}

// settingOf says which action a key of a step belongs to.
var settingOf = map[string]string{
	"argv": NameCommand, "env": NameCommand,
	"url": NameHTTP, "hosts": NameHTTP, "body": NameHTTP, "token_file": NameHTTP,
	"signal": NameSignal, "all": NameSignal,
	"amount": NameReclaim,
}

// SettingKeys returns the keys of a step that are settings of an action, sorted.
func SettingKeys() []string {
	out := make([]string, 0, len(settingOf))
	for key := range settingOf {
		out = append(out, key)
	}
	slices.Sort(out)
	return out
}

// present returns the keys that are set, sorted.
func (s *Settings) present() []string {
	var out []string
	for key, set := range map[string]bool{
		"argv": len(s.Argv) > 0, "env": s.Env != nil,
		"url": s.URL != "", "hosts": s.Hosts != nil, "body": s.Body != "", "token_file": s.TokenFile != "",
		"signal": s.Signal != "", "all": s.All, "amount": s.Amount != 0,
	} {
		if set {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// CheckSettings applies the defaults and reports every mistake of the settings of a step that does the
// named action.
func (s *Settings) CheckSettings(name string, report report.Func) {
	for _, key := range s.present() {
		if owner := settingOf[key]; owner != name {
			report(key, "is for %s: remove the key", owner)
		}
	}
	switch name {
	case NameCommand:
		s.checkCommand(report)
	case NameHTTP:
		s.checkHTTP(report)
	case NameSignal:
		s.checkSignal(report)
	case NameReclaim:
		s.checkReclaim(report)
	}
}

// Describe returns what a step does with these settings, for the journal: "command /bin/true".
func (s *Settings) Describe(name string) string {
	switch name {
	case NameCommand:
		return fmt.Sprintf("command %q", s.Argv)
	case NameHTTP:
		return "http POST " + s.URL
	case NameSignal:
		whom := "the oldest process"
		if s.All {
			whom = "all processes"
		}
		return fmt.Sprintf("signal %s to %s", s.Signal, whom)
	case NameReclaim:
		return "reclaim_cgroup " + s.Amount.String()
	}
	return name
}

// message is what a command finds on its standard input and an http step sends: the alert as
// Alertmanager's webhook writes it, when one asked, and the run.
type message struct {
	*alert.Alert
	Run messageRun `json:"run"`
}

type messageRun struct {
	ID       string `json:"id"`
	Target   string `json:"target"`
	Playbook string `json:"playbook"`
	Trigger  string `json:"trigger"`
	Level    string `json:"level"`
}

func newMessage(req *Request) message {
	return message{Alert: req.Alert, Run: messageRun{
		ID: req.RunID, Target: req.Target, Playbook: req.Playbook, Trigger: req.Trigger, Level: req.Level.String(),
	}}
}
