// Package pull polls Alertmanagers for the alerts of this host, for networks in which they cannot
// call the webhook. A Puller polls the members of one cluster and submits what they report as an
// alert.Batch, exactly as the webhook would.
//
// However many members of a cluster report an alert, it is submitted once until it is due to be
// repeated. A member that does not answer has no effect on what the others report: an alert
// resolves only when a member that answers says so.
//
// internal/app runs the Puller and connects Submit to the dispatcher. The package only reads from
// an Alertmanager: it creates no silence and acknowledges nothing.
package pull
