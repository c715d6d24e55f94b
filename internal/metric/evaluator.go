package metric

// The evaluation of the rules by the exporter itself.
var (
	Evaluations          = &Own{"spillway_evaluator_evaluations_total", "Rule evaluations by the exporter itself.", Counter, nil}
	TargetEvaluations    = &Own{"spillway_evaluator_target_evaluations_total", "Evaluations of single targets between two regular ones, because a level changed, is above normal, or an alert is pending.", Counter, nil}
	EvaluationsMissed    = &Own{"spillway_evaluator_evaluations_missed_total", "Evaluations skipped because the previous one took longer than the interval.", Counter, nil}
	EvaluationDuration   = &Own{"spillway_evaluator_evaluation_duration_seconds", "Duration of the last evaluation, including gathering.", Gauge, nil}
	RuleFailures         = &Own{"spillway_evaluator_rule_failures_total", "Evaluations of single rules that failed.", Counter, nil}
	RuleFailing          = &Own{"spillway_evaluator_rule_failing", "1 for a rule whose last evaluation by the exporter failed, so that its alerts neither begin nor end; absent otherwise.", Gauge, []string{"group", "rule"}}
	Notifications        = &Own{"spillway_evaluator_notifications_total", "Alerts handed to the dispatcher, including repeats.", Counter, nil}
	NotificationsRefused = &Own{"spillway_evaluator_notifications_refused_total", "Alerts that the dispatcher refused and that are sent again.", Counter, nil}
	EvaluatorSeries      = &Own{"spillway_evaluator_series", "Series held for the rules.", Gauge, nil}
	EvaluatorDropped     = &Own{"spillway_evaluator_series_dropped_total", "Samples dropped because the series limit was reached.", Counter, nil}
)

var evaluatorOwns = []*Own{
	Evaluations, TargetEvaluations, EvaluationsMissed, EvaluationDuration, RuleFailures, RuleFailing, Notifications,
	NotificationsRefused, EvaluatorSeries, EvaluatorDropped,
}
