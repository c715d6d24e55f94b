package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/mdlayher/vsock"
	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
)

// The server's own limits. The webhook sets a shorter time for its body by itself; the watch
// stream lifts the write limit for itself.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	maxConnections    = 512
)

// listen opens the listeners that the flags name. Nothing is served yet.
func listen(ctx context.Context, flags *web.FlagConfig) ([]net.Listener, error) {
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
			return nil, fmt.Errorf("listen on %q: %w; write host:port with --web.listen-address, such as 127.0.0.1:10042", address, err)
		}
		out = append(out, l)
	}
	return out, nil
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

// serveAll serves handler on every listener until ctx is done, then shuts down within grace.
// Each listener has a server of its own, because the toolkit wraps the server's handler.
func serveAll(ctx context.Context, ls []net.Listener, handler http.Handler, flags *web.FlagConfig, logger *slog.Logger, grace time.Duration) error {
	var group errgroup.Group
	servers := make([]*http.Server, len(ls))
	for i, l := range ls {
		servers[i] = &http.Server{
			Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
			WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
			ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		}
		group.Go(func() error {
			err := web.Serve(netutil.LimitListener(l, maxConnections), servers[i], flags, logger)
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
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	for _, s := range servers {
		if err := s.Shutdown(deadline); err != nil {
			s.Close()
		}
	}
	return <-failed
}

// webAuth says what the exporter-toolkit's file already asks of every request.
type webAuth struct{ basic, clientCert, tls bool }

// readWebAuth checks the toolkit's file and reads the part that says who is let in.
func readWebAuth(path string) (webAuth, error) {
	if path == "" {
		return webAuth{}, nil
	}
	if err := web.Validate(path); err != nil {
		return webAuth{}, fmt.Errorf("--web.config.file: %w", err)
	}
	return parseWebAuth(path)
}

func parseWebAuth(path string) (webAuth, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return webAuth{}, fmt.Errorf("--web.config.file: %w", err)
	}
	var file struct {
		Users map[string]string `yaml:"basic_auth_users"`
		TLS   struct {
			Cert       string `yaml:"cert_file"`
			Inline     string `yaml:"cert"`
			ClientAuth string `yaml:"client_auth_type"`
		} `yaml:"tls_server_config"`
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		return webAuth{}, fmt.Errorf("--web.config.file: %w", err)
	}
	return webAuth{
		basic:      len(file.Users) > 0,
		clientCert: file.TLS.ClientAuth == "RequireAndVerifyClientCert",
		tls:        file.TLS.Cert != "" || file.TLS.Inline != "",
	}, nil
}

// decided says that the listener lets in only who has proved who they are.
func (a webAuth) decided() bool { return a.basic || a.clientCert }

// authenticated reports whether the listener has made sure who sent a request. The toolkit reads its
// file for each request, and for each connection what it says of certificates: what held at the
// start may not hold any more.
func (a *App) authenticated(r *http.Request) bool {
	if *a.opts.Web.WebConfigFile == "" {
		return false
	}
	now, err := parseWebAuth(*a.opts.Web.WebConfigFile)
	if err != nil {
		a.logger.Warn("no caller is authenticated by the listener", "err", err)
		return false
	}
	return now.basic || now.clientCert && r.TLS != nil && len(r.TLS.VerifiedChains) > 0
}
