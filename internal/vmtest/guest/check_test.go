//go:build vm

package guest

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// checkLine is the line of the documentation that runs check as the service runs.
func checkLine(t *testing.T) string {
	t.Helper()
	text := read(t, "/usr/share/doc/spillway-exporter/docs/install.md")
	_, section, _ := strings.Cut(text, "\n#### As the service\n")
	_, block, ok := strings.Cut(section, "\n```sh\n")
	line, _, end := strings.Cut(block, "\n")
	if !ok || !end || !strings.HasPrefix(line, "sudo ") {
		t.Fatalf("install.md has no such line, but %q", line)
	}
	return strings.TrimPrefix(line, "sudo ") // root needs none
}

func TestEnforceCheck(t *testing.T) {
	what(t, "`check` in the unit's sandbox, as documented: names what is missing, and nothing with the lines that it says")
	makeShop(t)
	if err := os.RemoveAll(rulesFile); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(rulesFile) })
	transient(t, "shop", "-p", "User=app", "bash", "-c", "trap : HUP; exec 3<> <(:); while :; do read -t 5 -u 3; done")
	configure(t, "procevents: true\n"+enforced(t, strings.Replace(shop, "{comm: dbus-daemon}", "{systemd_unit: shop.service}", 1)+`
    playbooks:
      reload: [{do: signal, signal: SIGHUP}]
      restart: [{do: command, argv: [/usr/bin/systemctl, restart, orchestrator.service], timeout: 90s}]
      reclaim: [{do: reclaim_cgroup, amount: 1MiB}]
`))
	line := checkLine(t)
	out := run(t, "sh", "-c", line)
	t.Log(out)
	for _, want := range []string{
		"host: as spillway (",
		"missing: procevents: a netlink socket is refused: address family not supported by protocol\n    write RestrictAddressFamilies=AF_NETLINK\n",
		"missing: procevents: the kernel reports exits of processes only with CAP_NET_ADMIN\n    write AmbientCapabilities=CAP_NET_ADMIN\n",
		"missing for enforce: shop, temp tts: /srv/shop/tts is read-only for this process\n    write ReadWritePaths=-/srv/shop/tts\n",
		"missing for enforce: shop, temp tts: files cannot be removed from /srv/shop/tts: permission denied\n    write AmbientCapabilities=CAP_DAC_OVERRIDE\n",
		"missing for enforce: shop, playbook reload: its processes belong to another user and may not be signalled\n    write AmbientCapabilities=CAP_KILL\n",
		"missing for enforce: shop, playbook reclaim: /sys/fs/cgroup is read-only for this process\n    write ProtectControlGroups=no\n",
		"missing for enforce: shop, playbook restart: no polkit rule lets spillway restart orchestrator.service\n    do    add \"orchestrator.service\" to units in " + rulesFile,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q", want)
		}
	}

	var plan struct {
		Host struct {
			DropIn string `json:"drop_in"`
		}
	}
	if err := json.Unmarshal([]byte(run(t, "sh", "-c", line+" --json")), &plan); err != nil || plan.Host.DropIn == "" {
		t.Fatalf("%v: %+v", err, plan)
	}
	t.Log(plan.Host.DropIn)
	write(t, dropIns+"/check.conf", plan.Host.DropIn)
	write(t, rulesFile, read(t, "/usr/share/doc/spillway-exporter/50-spillway.rules"))
	run(t, "systemctl", "daemon-reload")
	run(t, "systemctl", "restart", "polkit.service")
	if out = run(t, "sh", "-c", line); !strings.Contains(out, ": nothing is missing, not even for mode enforce\n") {
		t.Errorf("with the lines that it said:\n%s", out)
	}

	run(t, "systemctl", "restart", unit)
	ready(t)
	expect(t, `spillway_processes{target="shop"}`, 1)
	wantRemoved(t, play(t, "shop", "clean_temp"), true)
	for _, playbook := range []string{"reload", "reclaim"} {
		if step := play(t, "shop", playbook); step.Outcome != "done" && step.Outcome != "partial" {
			t.Errorf("%s: %+v", playbook, step)
		}
	}
	write(t, configFile, "mode: enfroce\n")
	if out, err := try("sh", "-c", line); err == nil || !strings.Contains(out, "enfroce") || !strings.Contains(err.Error(), "exit status 2") {
		t.Errorf("a wrong configuration: %v: %s", err, out)
	}
}
