package pull

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
)

const (
	maxHeaderBytes = 64 << 10
	maxErrorBytes  = 512
	idleTimeout    = 2 * time.Minute
)

// client asks one Alertmanager.
type client struct {
	config *Config
	url    string
	http   *http.Client
}

func newClient(c *Config, address, instance string) (*client, error) {
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	// Silenced and inhibited alerts are not to be acted on: a silence holds a remedy back.
	query := url.Values{
		"active": {"true"}, "silenced": {"false"}, "inhibited": {"false"}, "unprocessed": {"false"},
		"filter": {matcher(alert.LabelInstance, instance), alert.LabelPlaybook + `=~".+"`},
	}
	return &client{
		config: c, url: address + "/api/v2/alerts?" + query.Encode(),
		http: &http.Client{
			Transport: &http.Transport{
				DialContext:         (&net.Dialer{Timeout: c.Timeout.Std()}).DialContext,
				TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
				TLSHandshakeTimeout: c.Timeout.Std(), MaxResponseHeaderBytes: maxHeaderBytes,
				MaxIdleConns: 1, MaxConnsPerHost: 2, IdleConnTimeout: idleTimeout,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// matcher writes a label matcher in Alertmanager's form.
func matcher(label, value string) string { return label + "=" + strconv.Quote(value) }

// alerts fetches the alerts of this host that ask for a remedy.
func (c *client) alerts(ctx context.Context) ([]alert.Alert, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, http.NoBody)
	if err != nil {
		return nil, fetch.PublicError(err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", fetch.UserAgent())
	if err := c.authenticate(req); err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fetch.PublicError(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes))
		return nil, fmt.Errorf("answered %s: %s", resp.Status, strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "")), " "))
	}
	return alert.DecodeList(resp.Body)
}

// authenticate reads the secret for each request: it may be exchanged while the exporter runs.
func (c *client) authenticate(req *http.Request) error {
	switch {
	case c.config.TokenFile != "":
		token, err := hostfs.ReadLine(c.config.TokenFile)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	case c.config.Username != "":
		password, err := hostfs.ReadLine(c.config.PasswordFile)
		if err != nil {
			return err
		}
		req.SetBasicAuth(c.config.Username, password)
	}
	return nil
}

func (c *client) close() { c.http.CloseIdleConnections() }
