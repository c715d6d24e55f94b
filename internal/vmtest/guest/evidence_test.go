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

// crowdedScript remembers sessions, from when /srv/crowd exists, until nine tenths of its control group are full, and once a second more where a collection has made room.
const crowdedScript = `'use strict';
const fs = require('node:fs');
const group = '/sys/fs/cgroup' + fs.readFileSync('/proc/self/cgroup', 'utf8').trim().split('::')[1];
const number = (file) => Number(fs.readFileSync(group + '/' + file, 'utf8'));
const used = () => number('memory.current') - Number(/inactive_file (\d+)/.exec(fs.readFileSync(group + '/memory.stat', 'utf8'))[1]);
const sessions = [];
function rememberSession(id) { sessions.push({ id, user: 'user' + id, seen: new Array(20).fill(id) }); }
const routes = [rememberSession, (id) => ({ id }), (id) => [id], (id) => 'a' + id, (id) => String(id)];
let served = 0;
const fill = () => {
  const room = fs.existsSync('/srv/crowd') && used() < 0.9 * number('memory.max');
  for (let i = 0; room && i < 2000 * routes.length; i++) routes[i % routes.length](served++);
  setTimeout(fill, room && served < 3e6 ? 20 : 1000);
};
fill();
`

// memoryEvents returns how often the events of a control group have occurred; false: the group is gone.
func memoryEvents(group string) (events map[string]string, found bool) {
	text, err := os.ReadFile(filepath.Join(group, "memory.events"))
	events = make(map[string]string)
	for line := range strings.Lines(string(text)) {
		name, n, _ := strings.Cut(strings.TrimSpace(line), " ")
		events[name] = n
	}
	return events, err == nil
}

func TestEvidenceUnderLimit(t *testing.T) {
	what(t, "a service at 90 % of its `MemoryMax=`: its capture is skipped within the default headroom, leaves the service alive with a wider one, and a full heap snapshot takes it to its limit")
	configure := func(evidence string) {
		t.Helper()
		// In mode dry_run nothing is sampled before a person requests a capture.
		serve(t, enforced(t, fmt.Sprintf("targets: [{name: crowded, processes: {match: {systemd_unit: crowded.service}}, heap: {provider: node_agent}, playbooks: {relieve_memory: [], relieve_heap: []}, evidence: {max_pause: 10s%s}}]\n", evidence)))
	}
	configure("")
	script := "/srv/crowded.cjs"
	write(t, script, crowdedScript)
	// --heapsnapshot-signal is how the full snapshot is requested below.
	transient(t, "crowded", "-p", "User=app", "-p", "MemoryMax=140M", "-p", "MemorySwapMax=0", "-p", "WorkingDirectory=/tmp",
		"node", "--max-old-space-size=1000", "--max-semi-space-size=1", "--require=/usr/share/spillway/spillway-agent.cjs", "--heapsnapshot-signal=SIGUSR2", script)
	group := filepath.Dir(cgroupFile(t, "crowded.service", "memory.max"))
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := try("journalctl", "--no-pager", "-o", "cat", "-n", "30", "-u", "crowded.service")
			kernel, _ := try("journalctl", "--no-pager", "-o", "cat", "-n", "60", "-k")
			t.Logf("crowded.service: %s\nkernel: %s", out, kernel)
		}
	})
	atLeast(t, `spillway_heap_used_bytes{runtime="node",target="crowded"}`, 1<<20) // from now on it is sampled
	write(t, "/srv/crowd", "")
	// What a capture has cost sets the price of the next one. So the default headroom is first: of what nine tenths of the limit are like, nothing is known yet.
	capture := func(headroom string, want func(out string) bool) map[string]string {
		t.Helper()
		within(t, 4*time.Minute, func() error {
			used, err := metric(`spillway_memory_used_ratio{target="crowded"}`)
			if err == nil && used < 0.85 {
				err = fmt.Errorf("%.0f %% are used", 100*used)
			}
			return err
		})
		var events map[string]string
		within(t, 4*time.Minute, func() error { // an automatic capture may have been a moment ago
			out, err := try("spillway_exporter", "evidence", "crowded", "--capture", "--config.file="+configFile)
			now, found := memoryEvents(group)
			if events = now; !found {
				t.Fatalf("with %s headroom the service did not survive: %v\n%s", headroom, err, out)
			}
			t.Logf("%v\n%s\nmemory.current %s, memory.peak %s, %v", err, out, read(t, group+"/memory.current"), read(t, group+"/memory.peak"), events)
			if !want(out) {
				return fmt.Errorf("with %s headroom: %s", headroom, out)
			}
			return nil
		})
		return events
	}
	events := capture("the default", func(out string) bool { return strings.Contains(out, "20% of the") })
	if events["oom"] != "0" || events["oom_kill"] != "0" {
		t.Fatalf("after a capture that was skipped: %v", events)
	}
	configure(", headroom: 90%")
	events = capture("a wider", func(out string) bool {
		return !strings.Contains(out, "no evidence was captured") && strings.Contains(out, "rememberSession")
	})
	if events["oom_kill"] != "0" {
		t.Fatalf("after a capture: %v", events)
	}
	run(t, "systemctl", "kill", "-s", "USR2", "crowded.service")
	within(t, 5*time.Minute, func() error { // the group is gone when the kernel has killed its process
		used, err := metric(`spillway_memory_used_ratio{target="crowded"}`)
		now, found := memoryEvents(group)
		if found && now["oom"] == events["oom"] && (err != nil || used < 0.98) {
			return fmt.Errorf("with a full snapshot %.1f %% are used: %w", 100*used, err)
		}
		return nil
	})
}
