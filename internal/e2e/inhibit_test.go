//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startHog keeps a hog running under a name, with so many seconds between two starts, and returns the file with its pid.
func startHog(t *testing.T, dir, name string, away int) (pidfile string) {
	t.Helper()
	pidfile, script := filepath.Join(dir, name+".pid"), filepath.Join(dir, name+".py")
	writeFile(t, script, hogSource)
	p := start(t, nil, need(t, "sh"), "-c", fmt.Sprintf("while :; do %s %s & echo $! > %s; wait; sleep %d; done", need(t, "python3"), script, pidfile, away))
	eventually(t, startLimit, "the service is ready", func() error {
		if !strings.Contains(p.out.String(), "ready") {
			return fmt.Errorf("it says %q", p.out.String())
		}
		return nil
	})
	return pidfile
}

func signalPID(t *testing.T, pidfile string, sig syscall.Signal) {
	t.Helper()
	raw, err := os.ReadFile(pidfile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err == nil {
		err = syscall.Kill(pid, sig)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// inhibited reports whether an Alertmanager holds an alert about a target back because of another.
func (s *server) inhibited(alert, target string) (bool, error) {
	var all []struct {
		Labels map[string]string `json:"labels"`
		Status struct {
			InhibitedBy []string `json:"inhibitedBy"`
		} `json:"status"`
	}
	err := getJSON(s.url+"/api/v2/alerts?inhibited=true", &all)
	for _, a := range all {
		if a.Labels["alertname"] == alert && a.Labels["target"] == target {
			return len(a.Status.InhibitedBy) > 0, nil
		}
	}
	return false, errors.Join(err, fmt.Errorf("it has no %s of %s", alert, target))
}

// TestRestartWakesNoOne: a service that Spillway restarts is away for longer than SpillwayTargetDown waits. With the shipped rules,
// routes and inhibitions, in Alertmanager 0.25 and 0.31, that alert is held back while the run is open and reaches no person;
// that of a service which died by itself does.
func TestRestartWakesNoOne(t *testing.T) {
	t.Parallel() // it waits more than it works
	dir := testDir(t)
	tokenFile, _ := token(t, dir)
	board := newSwitchboard(t)
	instance := strings.TrimPrefix(board.URL, "http://")
	managers := map[string]*server{
		"old": startWith(t, need(t, "prometheus-alertmanager"), shippedRoutes(t, "alertmanager-before-0.31.yml", "old", instance, tokenFile)),
		"new": startWith(t, alertmanager31(t), shippedRoutes(t, "alertmanager.yml", "new", instance, tokenFile)),
	}
	restarted, dead := startHog(t, dir, "restarted", 50), startHog(t, dir, "dead", 600)
	config := fmt.Sprintf("instance: %s\nmode: enforce\nsample_interval: 1s\nevaluation_interval: 1s\nwebhook: {token_file: %s}\nalertmanager: {push: [%s, %s]}\ntargets:\n",
		instance, tokenFile, managers["old"].url, managers["new"].url)
	for name, pidfile := range map[string]string{"restarted": restarted, "dead": dead} {
		config += fmt.Sprintf("  - {name: %s, processes: {match: {pidfile: %s, user: '%d'}}, memory: {limit: 64MiB}, playbooks: {relieve_memory: [{do: restart, via: command, command: [%s, -F, %[2]s], when: [critical, emergency], ready: 2m}]}}\n",
			name, pidfile, os.Getuid(), need(t, "pkill"))
	}
	e := startExporter(t, dir, config)
	board.mu.Lock()
	board.to = e.url
	board.mu.Unlock()
	eventually(t, time.Minute, "what they hold after their start has been read", func() error {
		m, err := e.scrape()
		if oldest, ok := m.sum("spillway_process_oldest_start_time_seconds", "target=restarted"); err == nil && (!ok || time.Since(time.Unix(int64(oldest), 0)) < 12*time.Second) {
			err = fmt.Errorf("started at %v", oldest)
		}
		return err
	})
	signalPID(t, dead, syscall.SIGKILL)
	signalPID(t, restarted, syscall.SIGUSR2)
	for am, manager := range managers {
		eventually(t, 2*time.Minute, am+": the alert is held back", func() error {
			held, err := manager.inhibited("SpillwayTargetDown", "restarted")
			if err == nil && !held {
				err = errors.New("it is not held back")
			}
			return err
		})
	}
	eventually(t, 2*time.Minute, "the restart has relieved", func() error {
		m, err := e.scrape()
		if n, _ := m.sum("spillway_playbook_runs_total", "target=restarted", "outcome=relieved"); err == nil && n != 1 {
			err = fmt.Errorf("%v runs have", n)
		}
		return err
	})
	for am := range managers {
		eventually(t, time.Minute, am+": people hear of the one that died", func() error {
			if got := board.firing(am, "people", "dead"); !slices.Contains(got, "SpillwayTargetDown critical") {
				return fmt.Errorf("heard %q", got)
			}
			return nil
		})
		if got := board.firing(am, "people", "restarted"); got != nil {
			t.Errorf("%s: people heard %q of a service that was restarted", am, got)
		}
	}
}
