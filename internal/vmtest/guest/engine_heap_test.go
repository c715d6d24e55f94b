//go:build vm

package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// runtimes starts a container with node and one with java, once.
func runtimes(t *testing.T) {
	t.Helper()
	engines(t)
	if _, err := try("podman", "container", "exists", "java"); err == nil {
		return
	}
	rested(t)
	const start = "podman run -d --network=none --memory=250m -v /usr:/usr:ro "
	sh(t, start+`--name=node `+webImage+` /usr/bin/node --max-old-space-size=64 --inspect=127.0.0.1:9229 --require=/usr/share/spillway/spillway-agent.cjs -e 'setInterval(() => {}, 1e6)'`)
	sh(t, start+`--name=java `+webImage+` /usr/lib/jvm/java-17-openjdk-amd64/bin/rmiregistry -J-Xmx64m -J-XX:+UseSerialGC`)
}

// heapOf is a target whose heap is read in a container.
func heapOf(name, container, provider string) string {
	return fmt.Sprintf("  - {name: %s, processes: {match: {container: %s}}, heap: {provider: %s}}\n", name, container, provider)
}

// patiently waits longer than a fact of a process takes that is emulated.
func patiently(t *testing.T, series string, least float64) {
	t.Helper()
	within(t, 3*time.Minute, func() error {
		got, err := metric(series)
		if err == nil && got < least {
			err = fmt.Errorf("%s is %v, want at least %v", series, got, least)
		}
		return err
	})
}

func TestEngineHeap(t *testing.T) {
	what(t, "heaps in containers: `node_agent` and `jvm` with the unit as shipped")
	runtimes(t)
	serve(t, "targets:\n"+heapOf("agent", "node", "node_agent")+heapOf("machine", "java", "jvm"))
	patiently(t, `spillway_heap_limit_bytes{runtime="node",target="agent"}`, 64<<20)
	patiently(t, `spillway_heap_used_bytes{runtime="node",target="agent"}`, 1<<20)
	patiently(t, `spillway_heap_limit_bytes{runtime="jvm",target="machine"}`, 50<<20)
}

func TestEngineInspector(t *testing.T) {
	what(t, "an inspector in a container: an error that names `node_agent`, and its heap with the documented right to enter its network namespace")
	runtimes(t)
	config := "targets:\n" + heapOf("inspected", "node", "node_inspector")
	serve(t, config)
	within(t, 2*time.Minute, func() error {
		if text := logsSinceStart(t); !strings.Contains(text, "CAP_SYS_ADMIN") || !strings.Contains(text, "provider: node_agent") {
			return fmt.Errorf("the log names neither what is missing nor the agent: %s", text)
		}
		return nil
	})
	expect(t, `spillway_source_success{name="",source="heap",target="inspected"}`, 0)
	serve(t, config, documented(t, "heap.md", "CAP_SYS_ADMIN"))
	patiently(t, `spillway_heap_used_bytes{runtime="node",target="inspected"}`, 1<<20)
}

// documented returns the drop-in with a word that a page of the documentation shows.
func documented(t *testing.T, page, word string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/usr/share/doc/spillway-exporter/docs", page))
	if err != nil {
		t.Fatal(err)
	}
	for i, code := range strings.Split(string(text), "```") {
		_, code, _ = strings.Cut(code, "\n") // the language
		if i%2 == 1 && strings.Contains(code, "[Service]") && strings.Contains(code, word) {
			return code
		}
	}
	t.Fatalf("%s shows no drop-in with %s", page, word)
	return ""
}
