package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/loopback"
)

const (
	maxHeaderBytes = 64 << 10
	dialTimeout    = 2 * time.Second
	maxRedirects   = 3
	drainBytes     = 64 << 10
)

// The errors of a Client, to be tested with errors.Is.
var (
	// ErrUnreachable says that nothing answers there.
	ErrUnreachable = errors.New("nothing answers")
	// ErrLate says that no whole answer came in time.
	ErrLate = errors.New("no answer in time")
	// ErrStranger says that something listens there which is not the service's.
	ErrStranger = errors.New("it is not asked")
	// ErrStatus says that the service answered with a status other than 200.
	ErrStatus = errors.New("unexpected status")
	// ErrTooLarge says that the answer is larger than what is read.
	ErrTooLarge  = errors.New("the answer is too large")
	errElsewhere = errors.New("it redirects to another host")
)

// Client reads one Endpoint, over a connection of its own each time: a service that shuts down may
// wait for those that are open, so none is left behind. It is safe for concurrent use.
type Client struct {
	endpoint  Endpoint
	transport *http.Transport
	http      *http.Client
	prober    *http.Client // takes a redirect to another place as the answer
	now       func() time.Time
	via       Dial
}

// Dial connects with a dialer. It may look at whom it connects to.
type Dial func(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error)

// Via makes the client connect by another function, and returns it. It is called before the first request.
func (c *Client) Via(dial Dial) *Client {
	c.via = dial
	return c
}

// NewClient returns a client of an endpoint that Validate has accepted. Nothing is opened.
func NewClient(e Endpoint) *Client {
	c := &Client{endpoint: e, now: time.Now, via: dialPlainly}
	// Node.js before 19 waits in server.close() for idle connections, and a probe each second keeps
	// one from ever timing out. A silent connection costs one reading only.
	c.transport = &http.Transport{
		DialContext: c.dial, DisableKeepAlives: true, DisableCompression: true, MaxConnsPerHost: 2,
		MaxResponseHeaderBytes: maxHeaderBytes, TLSHandshakeTimeout: dialTimeout,
	}
	c.http = &http.Client{Transport: c.transport, CheckRedirect: redirect}
	c.prober = &http.Client{Transport: c.transport, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if errors.Is(redirect(next, via), errElsewhere) {
			return http.ErrUseLastResponse
		}
		return redirect(next, via)
	}}
	return c
}

// Close ends the use of the client. It has nothing open between two readings.
func (c *Client) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// dial connects to listed hosts, and for every other name to loopback addresses only, whatever the
// name resolves to.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := &net.Dialer{Timeout: dialTimeout}
	if !c.endpoint.listed(host) {
		d.Control = func(_, resolved string, _ syscall.RawConn) error {
			if !loopback.Address(resolved) {
				return fmt.Errorf("%s is not a loopback address", resolved)
			}
			return nil
		}
	}
	return c.via(ctx, d, network, address)
}

func dialPlainly(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error) {
	return d.DialContext(ctx, network, address)
}

// redirect follows a redirect to the same scheme, host and port only.
func redirect(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if next.URL.Scheme != first.Scheme || next.URL.Host != first.Host || next.URL.User != nil {
		return errElsewhere
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("it redirects more than %d times", maxRedirects)
	}
	return nil
}

// do sends one GET. The caller closes the body. where names the endpoint in errors; its path and query,
// which may be a secret, are not shown.
func (c *Client) do(ctx context.Context, by *http.Client, accept string) (resp *http.Response, where string, err error) {
	address, err := c.endpoint.address()
	if err != nil {
		return nil, c.endpoint.where(""), err
	}
	where = c.endpoint.where(address)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, where, fmt.Errorf("%s: %w", where, PublicError(err))
	}
	req.Header.Set("User-Agent", UserAgent())
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err = by.Do(req)
	if err != nil {
		return nil, where, classify(where, err)
	}
	return resp, where, nil
}

// read calls f with the body of a 200 answer. What f returns is classified like an error of the
// network where it is one.
func (c *Client) read(ctx context.Context, accept string, f func(body io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.endpoint.Timeout.Std())
	defer cancel()
	resp, where, err := c.do(ctx, c.http, accept)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %w: it answered %d %s", where, ErrStatus, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	if err := f(resp.Body); err != nil {
		return classify(where, err)
	}
	return nil
}

// classify adds the sentinel that an error of the network stands for.
func classify(where string, err error) error {
	err = PublicError(err)
	op, isOp := errors.AsType[*net.OpError](err)
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded), isNet && timeout.Timeout():
		return fmt.Errorf("%s: %w", where, ErrLate)
	case errors.Is(err, ErrStranger):
		if isOp {
			err = op.Err
		}
		return fmt.Errorf("%s: %w", where, err)
	case isOp && op.Op == "dial", errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF):
		return fmt.Errorf("%s: %w: %w", where, ErrUnreachable, err)
	}
	return fmt.Errorf("%s: %w", where, err)
}

// Outcome is how a Probe ended.
type Outcome struct {
	Status   int           // of the answer, 0 when none came
	Duration time.Duration // until the body had been read, or the failure
	Err      error         // why there was no whole answer; nil when one came, whatever its status
}

// Probe asks once and reads at most 64 KiB of the answer. A redirect to another place is not
// followed: it is the answer.
func (c *Client) Probe(ctx context.Context) Outcome {
	start := c.now()
	ctx, cancel := context.WithTimeout(ctx, c.endpoint.Timeout.Std())
	defer cancel()
	var out Outcome
	resp, where, err := c.do(ctx, c.prober, "")
	if err == nil {
		out.Status = resp.StatusCode
		if _, err = io.CopyN(io.Discard, resp.Body, drainBytes); errors.Is(err, io.EOF) {
			err = nil
		}
		err = errors.Join(classify(where, err), resp.Body.Close())
	}
	out.Duration, out.Err = c.now().Sub(start), err
	return out
}
