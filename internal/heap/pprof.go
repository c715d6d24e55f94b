package heap

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/lazy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	pprofRead    = "/debug/pprof/heap?debug=1"
	pprofCollect = "/debug/pprof/heap?gc=1&debug=1"
	pprofProfile = "/debug/pprof/heap?gc=1"
	pprofIdle    = 15 * time.Minute
	// maxProfileBytes bounds a profile that is read through: about 100,000 allocation sites.
	maxProfileBytes = 64 << 20
)

// pprofClient reads a Go program through net/http/pprof: the figures of runtime.MemStats that stand at
// the end of the text form of the heap profile.
type pprofClient struct {
	address  string
	limit    Amount
	guard    *guard
	fellows  *fellows
	target   *target
	provider *lazy.Provider[*http.Client]
}

func newPprof(p *Pool, cfg Config, of *target) (backend, error) {
	guard := guarded(p, cfg, of)
	g := &pprofClient{address: cfg.Address, target: of, guard: guard, fellows: newFellows(p.opts.ProcFS, of)}
	if cfg.Limit > 0 {
		g.limit = Some(cfg.Limit)
	}
	var err error
	g.provider, err = lazy.Add(p.lazy, lazy.Options[*http.Client]{
		Name: fmt.Sprintf("%s %d %s%s", ProviderGo, cfg.Limit, cfg.Address, whose(cfg, of)), Kind: ProviderGo,
		Open: func(context.Context) (*http.Client, error) {
			return newHTTPClient(newTransport(guard)), nil
		},
		Close: func(*http.Client) {}, // nothing is open between two readings
		Idle:  pprofIdle, MaxBackoff: inspectorBackoff, Now: p.opts.Now, Metrics: p.opts.Metrics,
	})
	return g, err
}

// fetch reads one profile. sent says whether the target may have got the request.
func (g *pprofClient) fetch(ctx context.Context, path string) (u Usage, sent bool, err error) {
	sent, err = g.with(ctx, path, func(body io.Reader) (err error) {
		u, err = decodeMemStats(body)
		return err
	})
	if err != nil {
		return Usage{}, sent, err
	}
	u.Limit = g.limit
	read, known := g.guard.reader()
	g.fellows.cover(&u, read, known)
	return u, sent, nil
}

// fetchRaw reads one profile as it is.
func (g *pprofClient) fetchRaw(ctx context.Context, path string) (data []byte, sent bool, err error) {
	sent, err = g.with(ctx, path, func(body io.Reader) (err error) {
		data, err = unpackProfile(body)
		return err
	})
	return data, sent, err
}

// with reads the answer to one request.
func (g *pprofClient) with(ctx context.Context, path string, read func(body io.Reader) error) (sent bool, err error) {
	lease, err := g.provider.Get(ctx)
	if errors.Is(err, lazy.ErrClosed) {
		return false, ErrClosed
	}
	if err != nil {
		return false, err
	}
	var wrote atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }})
	err = g.readWith(traced, lease.Value, path, read)
	switch {
	case err == nil, errors.Is(err, ErrBusy), ctx.Err() != nil, errors.Is(err, errTooLong):
		lease.Release()
	default:
		lease.Discard(err)
	}
	return wrote.Load(), err
}

func (g *pprofClient) readWith(ctx context.Context, c *http.Client, path string, read func(body io.Reader) error) error {
	body, err := get(ctx, c, g.address, path)
	if err == nil {
		defer body.Close()
		if err = read(body); err == nil {
			return nil
		}
	}
	if _, refused := errors.AsType[*statusError](err); refused || errors.Is(err, errNoMemStats) {
		return fmt.Errorf("%s does not serve net/http/pprof: %w", g.address, err)
	}
	return classify(err, g.address, "serve net/http/pprof at "+g.address)
}

// Read implements Reader.
func (g *pprofClient) Read(ctx context.Context) (Usage, error) {
	u, _, err := g.fetch(ctx, pprofRead)
	return u, err
}

// collect implements backend. The profile is written after the collection has ended, so the
// figures in it are those after it.
func (g *pprofClient) collect(ctx context.Context, _ string) (before, after Usage, err error) {
	if before, _, err = g.fetch(ctx, pprofRead); err != nil {
		return Usage{}, Usage{}, fmt.Errorf("before the collection, which was not asked for: %w", err)
	}
	after, sent, err := g.fetch(ctx, pprofCollect)
	if _, refused := errors.AsType[*statusError](err); refused {
		return before, Usage{}, err
	}
	return before, after, unknownIf(sent, err)
}

func (g *pprofClient) close() error { return g.provider.Close() }

var errNoMemStats = errors.New("no runtime.MemStats at the end of the profile")

// decodeMemStats reads the trailer of a heap profile in its text form without keeping the profile:
// a line "# runtime.MemStats", then "# Name = value". Used is HeapAlloc; committed is what the heap
// has from the system less what it gave back, HeapSys - HeapReleased.
func decodeMemStats(r io.Reader) (Usage, error) {
	limited := &io.LimitedReader{R: r, N: maxProfileBytes + 1}
	lines := bufio.NewReaderSize(limited, 4096)
	var alloc, sys, released Amount
	in, continued := false, false
	for {
		line, err := lines.ReadSlice('\n')
		if !continued && len(line) > 1 && line[0] == '#' {
			text := bytes.TrimSpace(line[1:])
			if bytes.Equal(text, []byte("runtime.MemStats")) {
				in = true
			} else if in {
				memStat(text, &alloc, &sys, &released)
			}
		}
		continued = errors.Is(err, bufio.ErrBufferFull)
		if err == nil || continued {
			continue
		}
		if limited.N <= 0 {
			return Usage{}, fmt.Errorf("%w: it is larger than %d bytes", errNoMemStats, maxProfileBytes)
		}
		if !errors.Is(err, io.EOF) {
			return Usage{}, err
		}
		break
	}
	if !alloc.OK || !sys.OK || !released.OK {
		return Usage{}, errNoMemStats
	}
	if released.Bytes > sys.Bytes {
		return Usage{}, fmt.Errorf("%w: HeapReleased %d is above HeapSys %d", errNoMemStats, released.Bytes, sys.Bytes)
	}
	return Usage{Used: alloc, Committed: Some(sys.Bytes - released.Bytes)}, nil
}

// memStat takes one "Name = value" line; one that is not a size leaves its figure absent.
func memStat(text []byte, alloc, sys, released *Amount) {
	name, value, ok := bytes.Cut(text, []byte(" = "))
	if !ok {
		return
	}
	var to *Amount
	switch string(name) {
	case "HeapAlloc":
		to = alloc
	case "HeapSys":
		to = sys
	case "HeapReleased":
		to = released
	default:
		return
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n < 0 || n > maxHeapBytes {
		*to = Amount{}
		return
	}
	*to = Some(units.Bytes(n))
}
