package heap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/lazy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	documentIdle    = 15 * time.Minute
	documentTimeout = 2 * time.Second // a caller's deadline may be shorter
)

// document reads a heap that the service reports itself, in JSON or in the Prometheus text format.
// There is nothing that could be asked for a collection.
type document struct {
	format   string
	wants    []fetch.Want
	limit    Amount // of the config
	provider *lazy.Provider[*fetch.Client]
}

func (c *Config) endpoint() fetch.Endpoint {
	return fetch.Endpoint{URL: c.URL, Timeout: units.Duration(documentTimeout)}
}

func newDocument(p *Pool, cfg Config, of *target) (backend, error) {
	d := &document{format: cfg.Provider}
	if cfg.Limit > 0 {
		d.limit = Some(cfg.Limit)
	}
	for _, w := range []fetch.Want{
		{Name: "used", Path: cfg.Map.Used, Kind: fetch.Size},
		{Name: "committed", Path: cfg.Map.Committed, Kind: fetch.Size},
		{Name: "limit", Path: cfg.Map.Limit, Kind: fetch.Size},
	} {
		if w.Units = cfg.Units; w.Path != "" {
			d.wants = append(d.wants, w)
		}
	}
	endpoint := cfg.endpoint()
	p.documents++ // the page shows the name, and the path of the URL may be a secret
	var err error
	d.provider, err = lazy.Add(p.lazy, lazy.Options[*fetch.Client]{
		Name: fmt.Sprintf("%s %s (%d) %v %d%s", cfg.Provider, fetch.PublicURL(cfg.URL), p.documents, cfg.Map, cfg.Limit, whose(cfg, of)), Kind: cfg.Provider,
		Open: func(context.Context) (*fetch.Client, error) {
			return fetch.NewClient(endpoint).Via(guarded(p, cfg, of).dial), nil
		},
		Close: func(c *fetch.Client) { c.Close() },
		Idle:  documentIdle, MaxBackoff: inspectorBackoff, Now: p.opts.Now, Metrics: p.opts.Metrics,
	})
	return d, err
}

// Read implements Reader. A used size that cannot be read fails the reading; a committed size or
// limit that cannot is absent, and the reading fails too, since the config says where it stands.
func (d *document) Read(ctx context.Context) (Usage, error) {
	lease, err := d.provider.Get(ctx)
	if errors.Is(err, lazy.ErrClosed) {
		return Usage{}, ErrClosed
	}
	if err != nil {
		return Usage{}, err
	}
	values, err := lease.Value.Values(ctx, d.format, d.wants)
	if errors.Is(err, fetch.ErrUnreachable) {
		lease.Discard(err)
	} else {
		lease.Release()
	}
	switch {
	case errors.Is(err, fetch.ErrLate):
		return Usage{}, fmt.Errorf("%w: %w", ErrBusy, err)
	case errors.Is(err, fetch.ErrUnreachable):
		return Usage{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
	case err != nil:
		return Usage{}, err
	}
	return d.usage(values)
}

func (d *document) usage(values []fetch.Value) (Usage, error) {
	u := Usage{Limit: d.limit}
	var failed []error
	for i, v := range values {
		if v.Err != nil {
			failed = append(failed, v.Err)
			continue
		}
		amount := Some(units.Bytes(v.V))
		switch d.wants[i].Name {
		case "used":
			u.Used = amount
		case "committed":
			u.Committed = amount
		case "limit":
			if amount.Bytes > 0 {
				u.Limit = amount
			}
		}
	}
	return u, errors.Join(failed...)
}

// collect implements backend: there is no one to ask.
func (d *document) collect(ctx context.Context, _ string) (before, after Usage, err error) {
	before, _ = d.Read(ctx)
	return before, Usage{}, fmt.Errorf("%w: a %s document cannot be asked for a collection", ErrCannotCollect, d.format)
}

func (d *document) close() error { return d.provider.Close() }
