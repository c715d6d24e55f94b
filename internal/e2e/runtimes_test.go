//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// fullHeap fills nine tenths of its heap and holds it, or lets most of it go without a collection.
const fullHeap = `import java.util.*;
public class FullHeap {
  static List<byte[]> held = new ArrayList<>();
  public static void main(String[] args) throws Exception {
    Runtime r = Runtime.getRuntime();
    while (r.totalMemory() - r.freeMemory() < 0.9 * r.maxMemory()) held.add(new byte[(1 << 20) - 64]);
    if (args[0].equals("garbage")) held.subList(20, held.size()).clear();
    System.out.println("ready");
    Thread.sleep(600_000);
  }
}`

// startFullJava starts a Java service whose heap of 256 MiB is full. All but 16 MiB of that is old, by
// which the heap is judged before a collection was seen.
func startFullJava(t *testing.T, dir, of string) *process {
	t.Helper()
	source := filepath.Join(dir, "FullHeap.java")
	writeFile(t, source, fullHeap)
	if out, err := exec.Command(need(t, "javac"), "-d", dir, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p := start(t, nil, need(t, "java"), "-XX:+UseSerialGC", "-Xmx256m", "-Xmn16m", "-cp", dir, "FullHeap", of)
	eventually(t, startLimit, "the virtual machine is full", func() error {
		if !strings.Contains(p.out.String(), "ready") {
			return fmt.Errorf("it says %q", p.out.String())
		}
		return nil
	})
	return p
}

// fullJava matches the command line of such a service.
func fullJava(dir, of string) string { return "-cp " + regexp.QuoteMeta(dir) + " FullHeap " + of }

// TestHeapWithoutAPort: a Java service and one of Node.js with the preload script, neither with a
// port that anybody could attach to, fill their heaps. What is garbage is collected and the run is
// relieved; a true leak is reported as what it is. Neither service's output mentions it.
func TestHeapWithoutAPort(t *testing.T) {
	dir := testDir(t)
	garbage, leak := startFullJava(t, dir, "garbage"), startFullJava(t, dir, "leak")
	script, err := filepath.Abs("../../deploy/node-agent/spillway-agent.cjs")
	if err != nil {
		t.Fatal(err)
	}
	node := startLeaky(t, filepath.Join(dir, "service"), []string{"--garbage=2"}, "--require="+script)
	target := func(name, match, provider string) string {
		return fmt.Sprintf(`
  - name: %s
    processes: {match: {cmdline: '%s'}}
    memory: {limit: 8GiB}
    heap: {provider: %s}
    playbooks: {relieve_heap: [{do: collect_garbage, verify: {after: 3}}]}
`, name, match, provider)
	}
	e := startExporter(t, dir, "mode: enforce\nsample_interval: 1s\nevaluation_interval: 1s\ntargets:"+
		target("garbage", fullJava(dir, "garbage"), "jvm")+target("leak", fullJava(dir, "leak"), "jvm")+target("node", regexp.QuoteMeta(node.Dir), "node_agent"))

	for name, want := range map[string]string{"garbage": "relieved", "leak": "ineffective", "node": "relieved"} {
		var run, gc record
		eventually(t, 2*time.Minute, "relieve_heap of "+name+" has run", func() error {
			records, err := e.journal()
			if err != nil {
				return err
			}
			for _, r := range records {
				switch {
				case r.Target != name || r.Playbook != "relieve_heap":
				case r.Action == "collect_garbage" && r.Outcome != "":
					gc = r
				case r.Outcome == "relieved" || r.Outcome == "ineffective":
					run = r
				}
			}
			if run.Outcome == "" {
				return fmt.Errorf("no run has ended; %d records, the step %+v", len(records), gc)
			}
			return nil
		})
		before, after := heapUsed(t, gc.Before), heapUsed(t, gc.After)
		if run.Outcome != want || gc.Outcome != "done" || before < 0.85*256 || want == "relieved" && after > before/2 || want == "ineffective" && after < 0.9*before {
			t.Errorf("%s: %+v, step %+v, want %s", name, run, gc, want)
		}
	}
	m, err := e.scrape()
	if err != nil {
		t.Fatal(err)
	}
	for provider, want := range map[string]float64{"jvm": 2, "node_agent": 1} {
		if v, ok := m.sum("spillway_provider_open", "provider="+provider); !ok || v != want {
			t.Errorf("%v of %s are open, want %v", v, provider, want)
		}
	}
	for _, p := range []*process{garbage, leak} {
		if out := p.out.String(); strings.TrimSpace(out) != "ready" {
			t.Errorf("its output mentions the collection: %q", out)
		}
		if _, err := os.Lstat(fmt.Sprintf("/tmp/.attach_pid%d", p.cmd.Process.Pid)); !os.IsNotExist(err) {
			t.Errorf("the file that opened its attach socket: %v", err)
		}
	}
	for line := range strings.Lines(node.out.String()) {
		if !strings.HasPrefix(line, "{") {
			t.Errorf("its output mentions the collection: %q", line)
		}
	}
	for _, s := range []string{"SpillwayThresholdsMissing", "source failed"} {
		if strings.Contains(e.out.String(), s) {
			t.Errorf("the log of a healthy exporter says %q", s)
		}
	}
}
