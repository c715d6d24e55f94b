package dashboards_test

import "fmt"

// A panel of a fleet has a few lines however many hosts there are: those that were highest at any time in
// the range, the same ones over the whole of it, and where they stand among all.

// lineCount is how many series of its own a panel of a fleet has, unless it says otherwise.
const lineCount = 10

// mostLines is how many series all queries of a panel of a fleet may have together.
const mostLines = 19

// perHost are the labels that name one exporter: its address may be the same in two clusters.
const perHost = "cluster, job, instance"

const onInstance = " and on (" + perHost + ") "

// known are the exporters, by what no other program publishes.
func (b *board) known() string { return b.own("spillway_exporter_build_info") }

// ours keeps, of what every program publishes and Prometheus adds, that of the exporters: a job that is
// chosen, as all are at first, need not be theirs.
func (b *board) ours(selector string) string { return selector + onInstance + b.known() }

// seen are the exporters of the time range, at the end of it.
func (b *board) seen() string { return "last_over_time(" + b.known() + "[$__range] @ end())" }

// down are the exporters that Prometheus does not reach: those that it reached within the range, and what
// else is down in a job where all that is up is an exporter.
func (b *board) down() string {
	down, reached := b.own("up")+" == 0", "last_over_time("+b.known()+"[$__range])"
	return "(" + down + onInstance + reached + " or " + down + " and on (cluster, job) " + reached + " unless on (cluster, job) (" + b.own("up") + " == 1 unless on (cluster, job, instance) " + b.known() + "))"
}

func (b *board) up() string { return "(" + b.own("up") + " == 1" + onInstance + b.known() + ")" }

func whole(function, selector string) string {
	return function + "(" + selector + "[$__range] @ end())"
}

func highestIn(selector string) string { return whole("max_over_time", selector) }

func grownIn(selector string) string { return whole("increase", selector) }

func only(n int, value, ranking string) string {
	return fmt.Sprintf("%s and topk(%d, %s)", value, n, ranking)
}

// highest are the n series of a gauge that were highest.
func highest(n int, selector string) string { return only(n, selector, highestIn(selector)) }

// lowest are the n series of a gauge that were lowest.
func lowest(n int, selector string) string {
	return fmt.Sprintf("%s and bottomk(%d, %s)", selector, n, whole("min_over_time", selector))
}

// ages are the times since the n timestamps that are furthest back.
func ages(n int, selector string) string {
	return fmt.Sprintf("time() - %s and bottomk(%d, %s)", selector, n, whole("last_over_time", selector))
}

// fastest are the rates of the n counters that grew most.
func fastest(n int, selector string) string { return only(n, rate(selector), grownIn(selector)) }

// grown is how much the n sums of a counter by labels that grew most in the range grew within one step.
func grown(n int, labels, selector string) string {
	return only(n, sumBy(labels, increase(selector)), sumBy(labels, grownIn(selector)))
}

// most is the same where they grew at all.
func most(n int, labels, selector string) string {
	return only(n, sumBy(labels, increase(selector))+" > 0", sumBy(labels, grownIn(selector)))
}

// among are where all series of a gauge stand.
func among(expr string) []query {
	return []query{q("quantile(0.5, "+expr+")", "median of all"), q("quantile(0.95, "+expr+")", "95 % of all are below")}
}

// ofAll draws what stands for all targets or hosts as dashed lines.
func (p *jsonPanel) ofAll() *jsonPanel { return p.dashed("/ of all( are below)?$/") }

// spread is a panel of the highest series of a gauge, and of where all stand.
func spread(title, description, unit string, w int, selector, legend string, more ...query) *jsonPanel {
	queries := append([]query{q(highest(lineCount, selector), legend)}, among(selector)...)
	return graph(title, description, unit, w, append(queries, more...)...).ofAll()
}

// slowest is a panel of a histogram: where all exporters stand, and the slowest of them.
func (b *board) slowest(title, description string, w int, metric string) *jsonPanel {
	bucket := b.own(metric)
	all := func(quantile string) string {
		return "histogram_quantile(" + quantile + ", " + sumBy("le", rate(bucket)) + ") >= 0"
	}
	ranking := "histogram_quantile(0.95, " + sumBy("cluster, instance, le", grownIn(bucket)) + ") >= 0"
	return graph(title, description, "s", w,
		q(all("0.5"), "median of all"), q(all("0.95"), "95 % of all are below"),
		q(only(8, quantile("0.95", "cluster, instance", bucket), ranking), "95 % {{instance}}")).ofAll()
}

// most is a gauge that every Go program publishes, of the exporters that have most of it.
func (b *board) most(n int, metric string) string {
	selector := b.own(metric)
	return only(n, b.ours(selector), highestIn(selector)+onInstance+b.seen())
}

// What the reference of the code says may stand in a label: TestListsAreThoseOfTheCode.
const (
	skipReasons  = "budget, cooldown, denied, draining, duplicate, falling, forecast, instance, journal, level, mode, no_playbook, not_ours, paused, proposed, queue_full, stuck, waiting, window"
	runOutcomes  = "done, dry_run, failed, falling, ineffective, needs_human, nothing_to_do, partial, proposed, relieved, skipped, unknown, voided, waiting"
	dispositions = "accepted, cooldown, denied, duplicate, needs_human, no_playbook, not_ours, paused, proposed, refused, resolved, waiting, window"
)
