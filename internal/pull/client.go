package pull

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
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

const alertsPath = "/api/v2/alerts"

// pushURL is where one Alertmanager takes alerts.
func pushURL(address string) string { return address + alertsPath }

// pullURL asks one Alertmanager for the alerts of an instance that ask for a remedy. Silenced and
// inhibited ones are not to be acted on: a silence holds a remedy back.
func pullURL(address, instance string) string {
	query := url.Values{
		"active": {"true"}, "silenced": {"false"}, "inhibited": {"false"}, "unprocessed": {"false"},
		"filter": {matcher(alert.LabelInstance, instance), alert.LabelPlaybook + `=~".+"`},
	}
	return address + alertsPath + "?" + query.Encode()
}

func newClient(c *Config, address string) (*client, error) {
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	return &client{
		config: c, url: address,
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
	resp, err := c.do(req)
	if err != nil {
		return nil, fetch.PublicError(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp)
	}
	return alert.DecodeList(resp.Body)
}

// push sends a batch of alerts. The status is 0 where there was no answer.
func (c *client) push(ctx context.Context, batch []pushedAlert) (status int, err error) {
	body, err := json.Marshal(batch)
	if err != nil {
		return 0, fmt.Errorf("encode the alerts: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return 0, fetch.PublicError(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.do(req)
	if err != nil {
		return 0, fetch.PublicError(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return resp.StatusCode, refusal(resp)
	}
	// Read to its end, so that the connection serves the next batch.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxErrorBytes))
	return resp.StatusCode, nil
}

func (c *client) do(req *http.Request) (*http.Response, error) {
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", fetch.UserAgent())
	if err := c.authenticate(req); err != nil {
		return nil, err
	}
	return c.http.Do(req)
}

// refusal is what a server says in place of what it was asked for, on one line.
func refusal(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes))
	return fmt.Errorf("answered %s: %s", resp.Status, strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "")), " "))
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
