//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// ofAnna is a page's file of users with the one that the test is: her password is secret.
const ofAnna = `basic_auth_users: {anna: '$2a$04$5TsBIHvfWgCIUjPea.dJQ.ATB0NmzaHlBBsqCnZa4HHqwhIpazb0a'}`

// startGuarded starts an exporter whose listener asks for a password, and returns its address as anna uses it.
func startGuarded(t *testing.T, dir, config string) (e *exporter, url string) {
	t.Helper()
	file, users := filepath.Join(dir, "spillway.yml"), filepath.Join(dir, "web.yml")
	err := errors.Join(os.WriteFile(file, []byte(config+"\njournal: {dir: "+filepath.Join(dir, "journal")+"}\n"), 0o600), os.WriteFile(users, []byte(ofAnna), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, []string{"XDG_STATE_HOME=" + dir}, binary(t), "--web.listen-address=127.0.0.1:0", "--config.file="+file, "--web.config.file="+users)
	e = &exporter{dir: dir, process: p}
	eventually(t, startLimit, "the exporter is ready", func() error {
		m := listening.FindStringSubmatch(p.out.String())
		if m == nil {
			return errors.New("no address in its log yet")
		}
		e.addr, e.url = m[1], "http://anna:secret@"+m[1]
		_, err := get(e.url + "/-/ready")
		return err
	})
	return e, e.url
}

// startLeakingService keeps a service that leaks running, as a manager does, and returns the file with its pid.
func startLeakingService(t *testing.T, dir, address string) (pidfile string) {
	t.Helper()
	leaky := filepath.Join(dir, "leaky")
	build := exec.Command(need(t, "go"), "build", "-buildvcs=false", "-o", leaky, "../../examples/leaky")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pidfile = filepath.Join(dir, "pid")
	script := fmt.Sprintf("while :; do %s --dir %s --address %s --session-bytes 1600000 --for 10m & echo $! > %s; wait; done",
		leaky, filepath.Join(dir, "service"), address, pidfile)
	start(t, nil, need(t, "sh"), "-c", script)
	eventually(t, startLimit, "the service runs", func() error {
		_, err := os.Stat(pidfile)
		return err
	})
	return pidfile
}

// approving opens the page as anna in Chromium, and approves what waits there.
func approving(t *testing.T, url string) {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(need(t, "chromium")), chromedp.NoSandbox, chromedp.DisableGPU)
	alloc, stop := chromedp.NewExecAllocator(t.Context(), options...)
	defer stop()
	ctx, cancel := chromedp.NewContext(alloc)
	defer cancel()
	ctx, cancelTime := context.WithTimeout(ctx, 2*time.Minute)
	defer cancelTime()
	var before, after string
	err := chromedp.Run(ctx,
		chromedp.Navigate(url), chromedp.WaitVisible(".proposal button"), chromedp.Text(".proposal", &before),
		chromedp.Evaluate(`document.querySelector('form[action$="/approve"] button').click()`, nil),
		chromedp.Poll(`!document.querySelector(".proposal") && !!document.querySelector("main")`, nil),
		chromedp.Text("body", &after))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Waits for approval", "restart via command", "critical", "Approve"} {
		if !strings.Contains(before, want) {
			t.Errorf("the page does not say %q: %s", want, before)
		}
	}
	if !strings.Contains(before, "captured a ") && !strings.Contains(before, "grew") {
		t.Errorf("the page has no evidence: %s", before)
	}
	if strings.Contains(after, "Not done") {
		t.Error(after)
	}
}

// TestProposeInABrowser: a service leaks, evidence is captured, a restart is proposed, a person
// approves it on the page in a real browser, the service is restarted, and the pressure is gone.
func TestProposeInABrowser(t *testing.T) {
	dir := testDir(t)
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	pidfile := startLeakingService(t, dir, address)
	config := `instance: here
mode: propose
sample_interval: 1s
evaluation_interval: 1s
targets:
  - name: svc
    processes: {match: {pidfile: ` + pidfile + `, user: '` + fmt.Sprint(os.Getuid()) + `'}}
    memory: {limit: 1GiB}
    heap: {provider: go_pprof, address: '` + address + `'}
    evidence: {max_pause: 10s}
    playbooks:
      relieve_memory: [capture_evidence, {do: restart, via: command, command: [` + need(t, "pkill") + `, -F, ` + pidfile + `], when: [critical, emergency], ready: 30s}]
`
	e, url := startGuarded(t, dir, config)
	waits := func() error {
		m, err := e.scrape()
		if n, _ := m.sum("spillway_proposals", "target=svc", "playbook=relieve_memory"); err == nil && n != 1 {
			err = fmt.Errorf("%v proposals wait", n)
		}
		return err
	}
	eventually(t, 3*time.Minute, "a restart is proposed", waits)
	before, err := os.ReadFile(pidfile)
	if err != nil {
		t.Fatal(err)
	}
	approving(t, url)
	eventually(t, 3*time.Minute, "it is restarted and relieved", func() error {
		all, err := e.journal()
		if err != nil {
			return err
		}
		for _, r := range runs(all, "relieve_memory") {
			if r.Outcome == "relieved" {
				return nil
			}
		}
		return fmt.Errorf("no run has relieved: %+v", all)
	})
	after, err := os.ReadFile(pidfile)
	if err != nil || string(after) == string(before) {
		t.Errorf("the process is still %s, %v", after, err)
	}
	text, err := get(e.url + "/api/v1/journal")
	if err != nil || !strings.Contains(text, "user anna (this host)") && !strings.Contains(text, "user anna (127.0.0.1)") {
		t.Errorf("the journal does not say who approved: %s, %v", text, err)
	}
}
