// Package pull talks to Alertmanagers that cannot call the webhook, or that no Prometheus calls. A Puller
// polls the members of one cluster and submits what they report as an alert.Batch, exactly as the webhook
// would. A Pusher sends them the alerts of the rules that the exporter evaluates itself.
//
// However many members of a cluster report an alert, it is submitted once until it is due to be
// repeated. A member that does not answer has no effect on what the others report: an alert
// resolves only when a member that answers says so.
//
// What is sent is repeated each minute while it fires and ends by itself when the repeats stop. What one
// Alertmanager does not take waits for it, the newest state of each alert alone, while the others get theirs.
//
// internal/app runs both, and connects Submit to the dispatcher. The package creates no silence and
// acknowledges nothing.
package pull
