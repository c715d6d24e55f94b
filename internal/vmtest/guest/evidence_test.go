//go:build vm

package guest

import (
	"errors"
	"fmt"
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

// memoryEvent returns how often an event of a control group has occurred.
func memoryEvent(t *testing.T, group, event string) string {
	t.Helper()
	return sh(t, fmt.Sprintf("awk '/^%s / {print $2}' %s/memory.events", event, group))
}

func TestEvidenceUnderLimit(t *testing.T) {
	what(t, "a service at 90 % of its `MemoryMax=`: its capture is skipped within the default headroom, leaves the service alive with a wider one, and a full heap snapshot takes it to its limit")
	configure := func(evidence string) {
		t.Helper()
		// In mode dry_run nothing is sampled before a person requests a capture.
		serve(t, enforced(t, fmt.Sprintf("targets: [{name: crowded, processes: {match: {systemd_unit: crowded.service}}, heap: {provider: node_agent}, playbooks: {relieve_memory: [], relieve_heap: []}%s}]\n", evidence)))
	}
	configure(", evidence: {max_pause: 10s, headroom: 90%}")
	script := "/srv/crowded.cjs"
	write(t, script, crowdedScript)
	// --heapsnapshot-signal is how the full snapshot is requested below.
	transient(t, "crowded", "-p", "User=app", "-p", "MemoryMax=140M", "-p", "MemorySwapMax=0", "-p", "WorkingDirectory=/tmp",
		"node", "--max-old-space-size=1000", "--max-semi-space-size=1", "--require=/usr/share/spillway/spillway-agent.cjs", "--heapsnapshot-signal=SIGUSR2", script)
	group := filepath.Dir(cgroupFile(t, "crowded.service", "memory.max"))
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := try("journalctl", "--no-pager", "-o", "cat", "-n", "30", "-u", "crowded.service")
			t.Logf("crowded.service: %s", out)
		}
	})
	atLeast(t, `spillway_heap_used_bytes{runtime="node",target="crowded"}`, 1<<20) // from now on it is sampled
	write(t, "/srv/crowd", "")
	crowded := func() {
		t.Helper()
		within(t, 4*time.Minute, func() error {
			used, err := metric(`spillway_memory_used_ratio{target="crowded"}`)
			if err == nil && used < 0.8 {
				err = fmt.Errorf("%.0f %% are used", 100*used)
			}
			return err
		})
	}
	capture := func() string {
		t.Helper()
		out, err := try("spillway_exporter", "evidence", "crowded", "--capture", "--config.file="+configFile)
		t.Logf("%v\n%s\nmemory.max %s, memory.current %s, memory.peak %s", err, out, read(t, group+"/memory.max"), read(t, group+"/memory.current"), read(t, group+"/memory.peak"))
		return out
	}
	crowded()
	within(t, 4*time.Minute, func() error { // an automatic capture may have been a moment ago
		if out := capture(); strings.Contains(out, "no evidence was captured") || !strings.Contains(out, "rememberSession") {
			return errors.New("with a wider headroom the function that fills it is not found")
		}
		return nil
	})
	configure(", evidence: {max_pause: 10s}") // what the capture has paused here is remembered
	crowded()
	within(t, 4*time.Minute, func() error {
		if out := capture(); !strings.Contains(out, "20% of the") {
			return errors.New("within the default headroom it is not skipped")
		}
		return nil
	})
	for _, event := range []string{"oom", "oom_kill"} {
		if n := memoryEvent(t, group, event); n != "0" {
			t.Fatalf("%s is %s after the captures", event, n)
		}
	}
	run(t, "systemctl", "kill", "-s", "USR2", "crowded.service")
	within(t, 5*time.Minute, func() error { // the group is gone when the kernel has killed its process
		used, err := metric(`spillway_memory_used_ratio{target="crowded"}`)
		if exists(group) && memoryEvent(t, group, "oom") == "0" && (err != nil || used < 0.98) {
			return fmt.Errorf("with a full snapshot %.1f %% are used: %w", 100*used, err)
		}
		return nil
	})
}
