//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// ofAnna is a file of users with one, whose password is secret.
const ofAnna = `basic_auth_users: {anna: '$2a$04$5TsBIHvfWgCIUjPea.dJQ.ATB0NmzaHlBBsqCnZa4HHqwhIpazb0a'}`

// startGuarded starts an exporter whose listener asks for the password of anna.
func startGuarded(t *testing.T, dir, config string) *exporter {
	t.Helper()
	file, users := filepath.Join(dir, "spillway.yml"), filepath.Join(dir, "web.yml")
	writeFile(t, file, config+"\njournal: {dir: "+filepath.Join(dir, "journal")+"}\n")
	writeFile(t, users, ofAnna)
	p := start(t, []string{"XDG_STATE_HOME=" + dir}, binary(t), "--web.listen-address=127.0.0.1:0", "--config.file="+file, "--web.config.file="+users)
	e := &exporter{dir: dir, process: p}
	eventually(t, startLimit, "the exporter is ready", func() error {
		m := listening.FindStringSubmatch(p.out.String())
		if m == nil {
			return errors.New("no address in its log yet")
		}
		e.addr, e.url = m[1], "http://anna:secret@"+m[1]
		_, err := get(e.url + "/-/ready")
		return err
	})
	return e
}

// startSupervised keeps a service of Node.js that leaks running, as a manager does, and returns the file with its pid.
func startSupervised(t *testing.T, dir string) (pidfile string) {
	t.Helper()
	server, err := filepath.Abs("../../examples/leaky-node/server.js")
	if err != nil {
		t.Fatal(err)
	}
	agent, err := filepath.Abs("../../deploy/node-agent/spillway-agent.cjs")
	if err != nil {
		t.Fatal(err)
	}
	pidfile = filepath.Join(dir, "pid")
	service := strings.Join([]string{
		need(t, "node"), "--require=" + agent, server, "--dir=" + filepath.Join(dir, "service"), "--for=600", "--every=200", "--leak=0.5", "--stop-rss=182",
		"--held=0", "--garbage=0", "--empty=0", "--entry-kib=1", "--max-files=10",
	}, " ")
	start(t, nil, need(t, "sh"), "-c", fmt.Sprintf("while :; do %s & echo $! > %s; wait; done", service, pidfile))
	eventually(t, startLimit, "the service runs", func() error {
		_, err := os.Stat(pidfile)
		return err
	})
	return pidfile
}

// approving opens the page as anna in Chromium, clicks on the button, and returns what the page said before.
func approving(t *testing.T, url string) (before string) {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(need(t, "chromium")), chromedp.NoSandbox, chromedp.DisableGPU)
	alloc, stop := chromedp.NewExecAllocator(t.Context(), options...)
	defer stop()
	ctx, cancel := chromedp.NewContext(alloc)
	defer cancel()
	ctx, cancelTime := context.WithTimeout(ctx, 2*time.Minute)
	defer cancelTime()
	const (
		waiting = `section[aria-labelledby="proposals"]`
		button  = `form[action$="/approve"] button`
	)
	var after string
	err := chromedp.Run(ctx,
		chromedp.Navigate(url), chromedp.WaitVisible(button), chromedp.Text(waiting, &before),
	)
	if err == nil {
		_, err = chromedp.RunResponse(ctx, chromedp.Click(button))
	}
	if err == nil {
		err = chromedp.Run(ctx, chromedp.WaitVisible("main"), chromedp.WaitNotPresent(waiting), chromedp.Text("body", &after))
	}
	if err != nil {
		t.Fatalf("%v; the page said %q", err, before)
	}
	if strings.Contains(after, "Not done") {
		t.Error(after)
	}
	return before
}

// TestProposeInABrowser: a service of Node.js leaks, evidence is captured, a restart is proposed, a person who has proved
// who she is approves it on the page in a real browser, the service is restarted, and the pressure is gone.
func TestProposeInABrowser(t *testing.T) {
	dir := testDir(t)
	pidfile := startSupervised(t, dir)
	e := startGuarded(t, dir, `instance: here
mode: enforce
sample_interval: 1s
evaluation_interval: 1s
targets:
  - name: svc
    processes: {match: {pidfile: `+pidfile+`, user: '`+fmt.Sprint(os.Getuid())+`'}}
    memory: {limit: 200MiB}
    heap: {provider: node_agent}
    evidence: {max_pause: 10s}
    playbooks:
      relieve_memory:
        - {do: capture_evidence, when: [critical, emergency]}
        - {do: restart, via: command, command: [`+need(t, "pkill")+`, -F, `+pidfile+`], when: [critical, emergency], ready: 30s, mode: propose}
`)
	eventually(t, 4*time.Minute, "a restart is proposed", func() error {
		m, err := e.scrape()
		if n, _ := m.sum("spillway_proposals", "target=svc", "playbook=relieve_memory"); err == nil && n != 1 {
			used, _ := m.sum("spillway_memory_used_ratio", "target=svc")
			err = fmt.Errorf("%v proposals wait, memory at %.2f", n, used)
		}
		return err
	})
	read := func() string {
		t.Helper()
		raw, err := os.ReadFile(pidfile)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	before := read()
	said := approving(t, e.url)
	for _, want := range []string{"Waiting for approval", "restart via command", "server.js", "Approve"} {
		if !strings.Contains(said, want) {
			t.Errorf("the page does not say %q: %s", want, said)
		}
	}
	var all []record
	eventually(t, 2*time.Minute, "it is restarted and relieved", func() (err error) {
		if all, err = e.journal(); err != nil {
			return err
		}
		for _, r := range runs(all, "relieve_memory") {
			if r.Outcome == "relieved" {
				return nil
			}
		}
		return fmt.Errorf("no run has relieved: %+v", all)
	})
	if after := read(); after == before {
		t.Errorf("the process is still %s", after)
	}
	restarts, approvals := 0, 0
	for _, r := range all {
		if r.Action == "restart" && r.Outcome == "done" {
			restarts++
		}
		if r.Action == "approve" && r.Outcome == "approved" && strings.Contains(r.Intent, "by user anna") {
			approvals++
		}
	}
	if restarts != 1 || approvals != 1 {
		t.Errorf("%d restarts, %d approvals by anna: %+v", restarts, approvals, all)
	}
}
