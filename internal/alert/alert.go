package alert

import "time"

// Trigger says which entrance asked for a run.
type Trigger string

// The triggers, as they stand in the journal and in spillway_action_runs_total.
const (
	TriggerWebhook    Trigger = "webhook"    // an Alertmanager called
	TriggerStandalone Trigger = "standalone" // the embedded evaluator
	TriggerManual     Trigger = "manual"     // POST /api/v1/run or the cleanup command
	TriggerSchedule   Trigger = "schedule"   // a policy's `every`
	TriggerExit       Trigger = "exit"       // the last process of a target ended
	TriggerForecast   Trigger = "forecast"   // the memory would reach its limit before a window opens again
	TriggerPull       Trigger = "pull"       // polled from an Alertmanager
	TriggerWatch      Trigger = "watch"      // a watcher's command, when the level of a target changed
)

// Status is the state of an alert.
type Status string

// The states of an alert in a notification.
const (
	StatusFiring   Status = "firing"
	StatusResolved Status = "resolved"
)

// The labels that Spillway reads. All others pass through to the journal untouched.
const (
	LabelName     = "alertname"
	LabelTarget   = "target"
	LabelPlaybook = "playbook"
	LabelLevel    = "level"
	LabelSeverity = "severity"
	LabelInstance = "instance"
)

// Alert is one alert of a notification, in the form that Alertmanager's webhook gives it.
type Alert struct {
	Status       Status            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
	Fingerprint  string            `json:"fingerprint"`

	// ReadAt is when the reading was taken with which the alert began; zero where that is not known,
	// as of every alert that comes from outside.
	ReadAt time.Time `json:"-"`
}

// Name returns the alertname label.
func (a *Alert) Name() string { return a.Labels[LabelName] }

// Target returns the target label.
func (a *Alert) Target() string { return a.Labels[LabelTarget] }

// Playbook returns the remedy that the alert asks for; "" means that it asks for none.
func (a *Alert) Playbook() string { return a.Labels[LabelPlaybook] }

// Unjudged reports whether Grafana has sent an alert because its rule had no data or failed. Such an alert has the
// labels of the rule, and says nothing of what the rule is about.
func (a *Alert) Unjudged() bool {
	name := a.Name()
	return (name == "DatasourceNoData" || name == "DatasourceError") && a.Labels["rulename"] != ""
}

// Key identifies one state of one alert: a notification with the same key says nothing new.
func (a *Alert) Key() string {
	return a.Fingerprint + "/" + a.StartsAt.UTC().Format(time.RFC3339Nano) + "/" + string(a.Status)
}

// Batch is a set of alerts that came together.
type Batch struct {
	Trigger   Trigger
	Host      string // the Host header of the request that brought it; "" from inside
	Receiver  string
	GroupKey  string
	Alerts    []Alert
	Truncated uint64 // alerts that the sender left out (max_alerts)
}

// Disposition is the answer to one alert of a batch.
type Disposition struct {
	Fingerprint string `json:"fingerprint"`
	Disposition string `json:"disposition"`      // one of the Disposition constants
	Reason      string `json:"reason"`           // a sentence for people
	RunID       string `json:"run_id,omitempty"` // the run that serves this alert, when there is one
}

// The dispositions, as they stand in answers and in spillway_webhook_alerts_total.
const (
	Accepted   = "accepted"    // a run was recorded and will start
	Duplicate  = "duplicate"   // the same alert again while its run is open or its cooldown holds
	Cooldown   = "cooldown"    // the playbook ran for this target a short while ago
	Waiting    = "waiting"     // a run of the playbook waits until something becomes due, and goes again then
	Paused     = "paused"      // a person has paused what begins by itself
	Closed     = "window"      // the window in which the playbook may run is closed
	NeedsHuman = "needs_human" // the playbook has acted as often as it may
	Proposed   = "proposed"    // the remedy waits for the approval of a person
	Denied     = "denied"      // a person has denied it
	NoPlaybook = "no_playbook" // the alert asks for no remedy, or for one that is not configured
	NotOurs    = "not_ours"    // another instance's alert, or a target that is not configured here
	Resolved   = "resolved"    // nothing to do any more
	Refused    = "refused"     // it could not be taken now; the answer is 503 and the sender retries
)
