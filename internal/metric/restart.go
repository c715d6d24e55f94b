package metric

// RestartNeedsHuman is what the guards of restarts keep about a target.
var RestartNeedsHuman = &Own{"spillway_restart_needs_human", "1 while a target is not restarted although its playbook wants it and waiting does not help, or was left drained, by reason; absent otherwise.", Gauge, []string{"target", "reason"}}

var restartOwns = []*Own{RestartNeedsHuman}
