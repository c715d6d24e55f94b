//go:build vm

package guest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

const leaker = "/payload/reaction"

// leaking starts a service that leaks when go is called, in a unit with MemoryMax=400M, and returns
// where it is asked to give its memory back.
func leaking(t *testing.T, rate int) (address string, leak func()) {
	t.Helper()
	cmd := exec.Command("systemd-run", "--quiet", "--collect", "--pipe", "--wait", "--unit=grower", "-p", "User=app", "-p", "MemoryMax=400M", "-p", "MemorySwapMax=0",
		leaker, "leak", "-limit", "400", "-rate", fmt.Sprint(rate))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "address ")
	if err != nil || !ok {
		t.Fatalf("%q, %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	return address, func() {
		t.Helper()
		if _, err := io.WriteString(in, "go\n"); err != nil {
			t.Fatal(err)
		}
	}
}

// relief is what the tests look at of the records of a run.
type relief struct {
	Step     int    `json:"step"`
	Playbook string `json:"playbook"`
	Outcome  string `json:"outcome"`
	Before   string `json:"before"`
	After    string `json:"after"`
}

func TestReactionLeak(t *testing.T) {
	what(t, "a service that leaks 17 MiB/s under `MemoryMax=400M` is relieved by the shipped unit before the kernel kills it")
	address, leak := leaking(t, 17)
	config := enforced(t, fmt.Sprintf(`
targets:
  - name: leaky
    processes: {match: {systemd_unit: grower.service}}
    playbooks: {relieve_memory: [{do: http, url: 'http://%s/trim', timeout: 5s}]}
`, address))
	configure(t, "")
	write(t, configFile, config) // with the shipped intervals
	run(t, "systemctl", "restart", unit)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(logs(t))
		}
	})
	ready(t)
	expect(t, `spillway_processes{target="leaky"}`, 1)
	kills := sh(t, "awk '/^oom_kill / {print $2}' /proc/vmstat")
	leak()
	var runs []relief
	within(t, 90*time.Second, func() error {
		if now := sh(t, "awk '/^oom_kill / {print $2}' /proc/vmstat"); now != kills {
			t.Fatalf("the kernel has killed: %s, then %s", kills, now)
		}
		text, err := get("/api/v1/journal?target=leaky")
		if err != nil {
			return err
		}
		var page struct {
			Records []relief `json:"records"`
		}
		if err := json.Unmarshal([]byte(text), &page); err != nil {
			return err
		}
		runs = nil
		for _, r := range page.Records {
			if r.Step == 0 && r.Playbook == "relieve_memory" && r.Outcome != "" {
				runs = append(runs, r)
			}
		}
		if len(runs) == 0 {
			return fmt.Errorf("no run has ended: %s", text)
		}
		return nil
	})
	if len(runs) != 1 || runs[0].Outcome != "relieved" || runs[0].Before == "" || runs[0].After == "" {
		t.Errorf("%+v, want one run that relieved, with before and after", runs)
	}
	expect(t, `spillway_processes{target="leaky"}`, 1)
}

// TestReactionBenchmark is examples/bench/reaction in this machine, in as many rounds as the host
// said.
func TestReactionBenchmark(t *testing.T) {
	what(t, "leaks under `MemoryMax=400M` are relieved with the shipped defaults, at 20 MiB/s each one; earlyoom alongside")
	run(t, "systemctl", "stop", unit)
	dir := t.TempDir()
	sh(t, "chmod -R a+rx "+dir+" "+dir+"/..")
	rounds, err := strconv.Atoi(read(t, "/payload/rounds"))
	if err != nil {
		t.Fatal(err)
	}
	rates, want := "5,20,100,400", "100"
	peers, peerRates := "earlyoom,systemd-oomd", rates
	if rounds == 1 { // an emulated processor is too slow for more to be asked of each run
		rates, want, peers, peerRates = "20,100", "20", "earlyoom", "100"
	}
	for _, g := range []struct {
		guards, rates string
		rounds        int
	}{
		{"spillway", rates, rounds},
		{peers, peerRates, max(1, rounds/10)}, // which kill in each, or stall it for a minute
	} {
		out, err := try(leaker, "-dir", dir, "-place", "systemd", "-rounds", strconv.Itoa(g.rounds), "-rates", g.rates, "-want", want,
			"-guards", g.guards, "-exporter", "runuser -u spillway -- /usr/bin/spillway_exporter")
		t.Log("\n" + out)
		if err != nil {
			t.Error(err)
		}
	}
}
