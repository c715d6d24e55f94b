package app

import (
	"bufio"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// closingService is a service of Node.js that ends by server.close(), which waits for the open
// connections. Since version 19 it closes idle ones itself, once; before, it waited for all of
// them, and so does every service whose answer is on its way at that moment.
const closingService = `
const http = require('http')
const server = http.createServer((req, res) => res.end('{"jobs": 1}'))
server.closeIdleConnections = () => {}
server.keepAliveTimeout = 60000
server.listen(0, '127.0.0.1', () => console.log('port ' + server.address().port))
process.on('SIGTERM', () => { console.log('closing'); server.close(() => process.exit(0)) })
`

// TestServiceThatIsProbedEnds: a service of Node.js ends at once when it is asked to, although it is
// probed and read each second.
func TestServiceThatIsProbedEnds(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	script := filepath.Join(realDir(t), fmt.Sprintf("service%d.js", time.Now().UnixNano()))
	writeTest(t, script, closingService)
	cmd := exec.Command(node, script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	base := "http://127.0.0.1:" + strings.TrimSpace(strings.TrimPrefix(line, "port "))
	a := startApp(t, `
standalone: false
sample_interval: 1s
targets:
  - name: svc
    processes: {match: {cmdline: '`+filepath.Base(script)+`'}}
    probe: {url: `+base+`/health}
    app: {url: `+base+`/stats, map: {jobs_total: jobs}}
    heap: {provider: json, url: `+base+`/heap, map: {used: jobs}}
`)
	eventually(t, "the service is probed and read", func() bool {
		_, metrics := fetch(t, a.url("/metrics"))
		return strings.Contains(metrics, `spillway_probe_success{target="svc"} 1`) && strings.Contains(metrics, `spillway_app_events_total{name="jobs_total",target="svc"} 1`)
	})
	begun := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
		t.Logf("it ended after %s", time.Since(begun).Round(time.Millisecond))
	case <-time.After(5 * time.Second):
		t.Error("the service still runs 5s after it was asked to end")
	}
}
