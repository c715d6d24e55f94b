package app

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// closingService is a service of Node.js that ends by server.close(), which waits for the open
// connections. Since version 19 it closes idle ones itself, once; before, it waited for all of
// them, and so does every service whose answer is on its way at that moment. With the argument silent it
// never answers what is asked of it after a line of its standard input; with default it has no handler.
const closingService = `
const http = require('http')
let silent = false
const server = http.createServer((req, res) => { if (silent) console.log('asked'); else res.end('{"jobs": 1}') })
server.closeIdleConnections = () => {}
server.keepAliveTimeout = 60000
server.listen(0, '127.0.0.1', () => console.log('port ' + server.address().port))
if (process.argv[2] !== 'default') process.on('SIGTERM', () => { console.log('closing'); server.close() })
if (process.argv[2] === 'silent') process.on('SIGUSR2', () => { silent = true })
`

// nodeService is a service of Node.js that runs.
type nodeService struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Reader
	base  string // of its addresses
	match string // of its command line
}

func startNodeService(t *testing.T, how string, flags ...string) *nodeService {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	script := filepath.Join(realDir(t), fmt.Sprintf("service%d.js", time.Now().UnixNano()))
	writeTest(t, script, closingService)
	n := &nodeService{t: t, cmd: exec.Command(node, append(flags, script, how)...), match: filepath.Base(script)}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.cmd.Process.Kill() })
	n.lines = bufio.NewReader(out)
	n.base = "http://127.0.0.1:" + strings.TrimPrefix(n.line(), "port ")
	return n
}

func (n *nodeService) line() string {
	n.t.Helper()
	line, err := n.lines.ReadString('\n')
	if err != nil {
		n.t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func (n *nodeService) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.t.Fatal(err)
	}
}

// endsWithin asks the service to end, and waits.
func (n *nodeService) endsWithin(limit time.Duration) {
	n.t.Helper()
	begun := time.Now()
	n.signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- n.cmd.Wait() }()
	select {
	case <-ended:
		n.t.Logf("it ended after %s", time.Since(begun).Round(time.Millisecond))
	case <-time.After(limit):
		n.t.Errorf("the service still runs %s after it was asked to end", limit)
	}
}

// watched is a configuration that asks a service in every way that goes over HTTP, each second.
func (n *nodeService) watched(heap string) string {
	return `
standalone: false
sample_interval: 1s
targets:
  - name: svc
    processes: {match: {cmdline: '` + n.match + `'}}
    probe: {url: ` + n.base + `/health, timeout: 1s}
    app: {url: ` + n.base + `/stats, timeout: 1s, map: {jobs_total: jobs}}
    heap: ` + heap
}

// TestServiceThatIsProbedEnds: a service of Node.js ends at once when it is asked to, although it is
// probed and read each second.
func TestServiceThatIsProbedEnds(t *testing.T) {
	n := startNodeService(t, "close")
	a := startApp(t, n.watched(`{provider: json, url: `+n.base+`/heap, map: {used: jobs}}`))
	isRead(t, a, `spillway_heap_used_bytes{runtime="json",target="svc"} 1`)
	n.endsWithin(5 * time.Second)
}

// TestServiceEndsWithRequestsInFlight: what the service never answers is given up after its timeout, and
// with it the connection.
func TestServiceEndsWithRequestsInFlight(t *testing.T) {
	n := startNodeService(t, "silent")
	a := startApp(t, n.watched(`{provider: json, url: `+n.base+`/heap, map: {used: jobs}}`))
	isRead(t, a, `spillway_heap_used_bytes{runtime="json",target="svc"} 1`)
	n.signal(syscall.SIGUSR2)
	for range 3 {
		if got := n.line(); got != "asked" {
			t.Fatalf("it says %q, want that it was asked", got)
		}
	}
	n.endsWithin(5 * time.Second) // 2s, of the heap, and what was asked meanwhile
}

// TestServiceWithInspectorEnds: the session that is held with the inspector keeps a service of Node.js
// from ending neither by server.close() nor by the default of SIGTERM.
func TestServiceWithInspectorEnds(t *testing.T) {
	for _, how := range []string{"close", "default"} {
		t.Run(how, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			address := l.Addr().String()
			l.Close()
			n := startNodeService(t, how, "--inspect="+address)
			a := startApp(t, n.watched(`{provider: node_inspector, address: '`+address+`'}`))
			isRead(t, a, `spillway_heap_used_bytes{runtime="node",target="svc"} `)
			n.endsWithin(3 * time.Second)
		})
	}
}

// isRead waits until the service is probed and read, its heap too.
func isRead(t *testing.T, a *App, heap string) {
	t.Helper()
	eventually(t, "the service is probed and read", func() bool {
		_, metrics := fetch(t, a.url("/metrics"))
		return strings.Contains(metrics, `spillway_probe_success{target="svc"} 1`) &&
			strings.Contains(metrics, `spillway_app_events_total{name="jobs_total",target="svc"} 1`) && strings.Contains(metrics, heap)
	})
}
