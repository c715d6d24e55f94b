// Package web serves the exporter over HTTP: the status page, the health report, the API, the
// watch stream and the endpoints that change something. Options are the functions that the
// handlers call; State is what the page shows in addition to the targets; a RunRequest is a person's
// request for a run.
//
// It decides who may call and what an answer looks like, and nothing else. Endpoints that change
// something are authenticated, limited in rate, and can name a configured playbook or action only.
// The page and the API answer from memory and from the journal.
//
// internal/app connects the Options to the store, the journal and the dispatcher. No handler
// reaches a watched folder or a process by itself.
package web
