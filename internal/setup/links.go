package setup

import (
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
)

// Instance returns the label by which people know this exporter: the configured one, or the host's name
// and the port of the address that it listens on.
func Instance(cfg *config.Config, listen net.Addr) string {
	if cfg.Instance != "" {
		return cfg.Instance
	}
	host, err := os.Hostname()
	_, port, splitErr := net.SplitHostPort(listen.String())
	if err != nil || splitErr != nil {
		return listen.String()
	}
	return net.JoinHostPort(host, port)
}

// Links are the addresses at which people see what an alert is about.
type Links struct {
	Home   string // of the exporter as a whole
	Target string // of one target, whose name replaces config.TargetMark

	page string // the status page
}

// NewLinks returns the links of a configuration: those of dashboard_url, or else the status page.
func NewLinks(cfg *config.Config, instance string, tls bool) Links {
	page := url.URL{Scheme: "http", Host: instance, Path: "/"}
	if tls {
		page.Scheme = "https"
	}
	l := Links{page: page.String()}
	l.Home, l.Target = l.page, l.page+"target/"+config.TargetMark
	if cfg.DashboardURL != "" {
		l.Target = strings.ReplaceAll(cfg.DashboardURL, config.InstanceMark, url.QueryEscape(instance))
		l.Home = strings.ReplaceAll(l.Target, config.TargetMark, "")
	}
	return l
}

// Page returns the address of the status page, of one target where there is one.
func (l Links) Page(target string) string {
	if target == "" {
		return l.page
	}
	return l.page + "target/" + url.PathEscape(target)
}

// Dashboards returns the address of the dashboard of a target, with config.TargetMark for its name, and that of
// the dashboards as a whole; "" where dashboard_url is not written.
func Dashboards(cfg *config.Config, listen net.Addr) (target, home string) {
	if cfg.DashboardURL == "" {
		return "", ""
	}
	target = NewLinks(cfg, Instance(cfg, listen), false).Target
	before, _, marked := strings.Cut(target, config.TargetMark)
	if !marked {
		return target, target
	}
	u, err := url.Parse(before)
	if err != nil || u.Host == "" {
		return target, ""
	}
	if u.RawQuery == "" { // the target is a part of the path
		u.Path = "/"
	}
	u.RawQuery = ""
	return target, u.String()
}

// HostName returns the name of this host, "" where the kernel does not say.
func HostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
