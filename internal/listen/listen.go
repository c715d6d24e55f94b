package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/mdlayher/vsock"
	"github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/loopback"
)

// The server's own limits. The webhook sets a shorter time for its body by itself; the watch
// stream lifts the write limit for itself.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// nextPorts are tried for one that is free, to be named in place of one that is not.
const nextPorts = 20

// Open opens the listeners that the flags name. Nothing is served yet.
func Open(ctx context.Context, flags *web.FlagConfig) ([]net.Listener, error) {
	if flags.WebSystemdSocket != nil && *flags.WebSystemdSocket {
		ls, err := activation.Listeners()
		if err != nil {
			return nil, fmt.Errorf("systemd sockets: %w", err)
		}
		if len(ls) == 0 {
			return nil, errors.New("--web.systemd-socket is set, but systemd passed no socket: start through a .socket unit or remove the flag")
		}
		return ls, nil
	}
	var out []net.Listener
	for _, address := range *flags.WebListenAddresses {
		l, err := listenOne(ctx, address)
		if err != nil {
			for _, open := range out {
				open.Close()
			}
			return nil, fmt.Errorf("listen on %q: %w: %s", address, err, instead(ctx, address, err))
		}
		out = append(out, l)
	}
	return out, nil
}

// instead says what to write in place of an address that cannot be listened on: never the one that failed.
func instead(ctx context.Context, address string, err error) string {
	host, text, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(text)
	if port == 0 || !errors.Is(err, unix.EADDRINUSE) {
		return "write host:port with --web.listen-address, such as 127.0.0.1:0 for any free port"
	}
	for next := port + 1; next <= min(port+nextPorts, 1<<16-1); next++ {
		free := net.JoinHostPort(host, strconv.Itoa(next))
		if l, err := listenOne(ctx, free); err == nil {
			l.Close()
			return "another program has this port, perhaps an exporter that runs already: end it, or write another port, such as --web.listen-address=" + free
		}
	}
	return "another program has this port, perhaps an exporter that runs already: end it, or write another port with --web.listen-address"
}

func listenOne(ctx context.Context, address string) (net.Listener, error) {
	if port, ok := strings.CutPrefix(address, "vsock://:"); ok {
		n, err := strconv.ParseUint(port, 10, 32)
		if err != nil {
			return nil, err
		}
		return vsock.Listen(uint32(n), nil)
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", address)
}

// Close closes the listeners that were never served; the others are closed already.
func Close(ls []net.Listener) error {
	for _, l := range ls {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
	}
	return nil
}

// OnLoopback reports whether no other host reaches any of the listeners.
func OnLoopback(ls []net.Listener) bool {
	return !slices.ContainsFunc(ls, func(l net.Listener) bool { return !onLoopback(l.Addr()) })
}

func onLoopback(addr net.Addr) bool {
	return addr.Network() == "unix" || loopback.Address(addr.String())
}

// Options configure Serve. All are required.
type Options struct {
	Handler http.Handler
	Caller  func(*http.Request) (proved, stream bool) // whether the caller has proved who he is, and whether the answer is a stream, which the handler limits itself
	Flags   *web.FlagConfig
	Logger  *slog.Logger
	Grace   time.Duration // for open requests at the end
}

// Serve serves the handler on every listener until ctx is done, then shuts down. Each listener has a
// server of its own, because the toolkit wraps the server's handler, and its own places.
func Serve(ctx context.Context, ls []net.Listener, o Options) error {
	var group errgroup.Group
	servers := make([]*http.Server, len(ls))
	for i, l := range ls {
		p := newPlaces(o.Logger)
		servers[i] = &http.Server{
			Handler: p.handler(o.Handler, o.Caller), ConnState: p.mark, ConnContext: connContext, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
			WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
			ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
		}
		group.Go(func() error {
			err := web.Serve(&listener{l, p}, servers[i], o.Flags, o.Logger)
			if errors.Is(err, http.ErrServerClosed) {
				return nil
			}
			return err
		})
	}
	failed := make(chan error, 1)
	go func() { failed <- group.Wait() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Grace)
	defer cancel()
	for _, s := range servers {
		if err := s.Shutdown(deadline); err != nil {
			s.Close()
		}
	}
	return <-failed
}

// URL returns the address of a listener as a person opens it.
func URL(addr net.Addr, tls bool) string {
	scheme := "http"
	if tls {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/"
}
