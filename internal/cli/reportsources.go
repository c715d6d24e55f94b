package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

const (
	askExporter  = 5 * time.Second
	mostOfScrape = 64 << 20
)

// failingSources adds the sources that the running exporter cannot read. What it returns is why that is not known.
func (o *obstacles) failingSources(ctx context.Context, f *reportFlags) []string {
	if *f.web.WebConfigFile != "" {
		return []string{"the exporter was not asked which sources fail, since its listener may ask for a certificate or a password: see the status page"}
	}
	addresses := *f.web.WebListenAddresses
	var errs []error
	silent := true
	for _, address := range addresses {
		err := o.askSources(ctx, address, f.telemetryPath)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		silent = silent && errors.Is(err, unix.ECONNREFUSED)
	}
	const instead = "if one runs, give report the --web.listen-address that it has"
	if silent {
		return []string{fmt.Sprintf("which sources fail is not known, since no exporter listens on %s: %s", strings.Join(addresses, ", "), instead)}
	}
	return []string{fmt.Sprintf("which sources fail is not known, since the exporter was not reached: %v; %s", errors.Join(errs...), instead)}
}

// askSources scrapes an exporter on this host.
func (o *obstacles) askSources(ctx context.Context, address, path string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, askExporter)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true} // no proxy: it is this host
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", req.URL, answer.Status)
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(io.LimitReader(answer.Body, mostOfScrape))
	if err != nil {
		return fmt.Errorf("%s: %w", req.URL, err)
	}
	if families[metric.BuildInfo.Name] == nil {
		return fmt.Errorf("%s is not a spillway_exporter", req.URL)
	}
	o.noteSources(families[metric.SourceSuccess.Name])
	return nil
}

func (o *obstacles) noteSources(f *dto.MetricFamily) {
	for _, m := range f.GetMetric() {
		if m.GetGauge().GetValue() != 0 {
			continue
		}
		labels := make(map[string]string)
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		what := strings.TrimSpace(labels["source"] + " " + labels["name"])
		o.add(labels["target"], fmt.Sprintf("the source %s cannot be read now: the status page says why", what))
	}
}
