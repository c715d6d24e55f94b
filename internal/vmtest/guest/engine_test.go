//go:build vm

package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// webImage is the image of the containers: a static program, and the places at which the guest's own
	// files are mounted where a container runs node or java.
	webImage = "localhost/shop/web:1"

	// rootless begins a command of a user other than root.
	rootless = `cd /; runuser -u app -- env HOME=/home/app XDG_RUNTIME_DIR=/run/user/$(id -u app) DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$(id -u app)/bus `

	quadUnit = `[Service]
Type=notify
NotifyAccess=all
Delegate=yes
KillMode=mixed
Restart=always
TimeoutStartSec=5min
Environment=PODMAN_SYSTEMD_UNIT=%n
ExecStart=/usr/bin/podman run --name=quad --rm --replace --cgroups=split --network=none --sdnotify=conmon -d --memory=94m ` + webImage + ` /hold 24
ExecStop=/usr/bin/podman rm -f -i quad
`
)

// box is a container of Podman.
type box struct {
	name   string
	engine string // the command
	args   string
	target string // by discovery
	labels []string
}

// boxes are of root with both cgroup managers, in a pod, and of a user. Each holds another number of MiB,
// by which its process is found.
var boxes = []box{
	{"web", "podman ", "--network=none --memory=96m " + webImage + " /hold 20", "web", []string{`container="web"`, `pod=""`}},
	{"flat", "podman --cgroup-manager=cgroupfs ", "--network=none --memory=97m " + webImage + " /hold 21", "flat", []string{`container="flat"`}},
	{"api", "podman ", "--pod=shop --memory=98m " + webImage + " /hold 22", "shop/api", []string{`container="api"`, `pod="shop"`}},
	{"mine", rootless + "podman ", "--network=none --memory=95m " + webImage + " /hold 23", "mine", []string{`container="mine"`}},
}

// rested stops what would compete with the engines for the emulated processors.
func rested(t *testing.T) {
	t.Helper()
	_, _ = try("systemctl", "stop", unit, "systemd-oomd.socket", "systemd-oomd.service")
}

// engines starts the containers, once. They run until the machine goes down.
func engines(t *testing.T) {
	t.Helper()
	if exists("/srv/rootfs.tar") {
		return
	}
	rested(t)
	run(t, "loginctl", "enable-linger", "app")
	within(t, time.Minute, func() error {
		_, err := try("bash", "-c", rootless+"systemctl --user is-system-running | grep -q -e running -e degraded")
		return err
	})
	sh(t, `mkdir -p /srv/rootfs/{usr,etc,proc,sys,dev,run,tmp}; cd /srv/rootfs; chmod 1777 tmp
		ln -s usr/bin bin; ln -s usr/lib lib; ln -s usr/lib64 lib64
		echo 'root:x:0:0:root:/:/hold' >etc/passwd; cp -r /etc/java-17-openjdk etc/; cp /payload/hold hold; tar -cf ../rootfs.tar .`)
	for _, engine := range []string{"podman ", rootless + "podman "} {
		sh(t, engine+"import -q /srv/rootfs.tar "+webImage)
	}
	sh(t, "podman pod create --name=shop --network=none")
	for _, b := range boxes {
		sh(t, b.engine+"run -d --name="+b.name+" "+b.args)
	}
	write(t, "/etc/systemd/system/quad.service", quadUnit)
	run(t, "systemctl", "daemon-reload")
	run(t, "systemctl", "start", "quad.service")
}

// holding returns the process that holds so many MiB.
func holding(t *testing.T, mib int) int {
	t.Helper()
	var pid int
	within(t, time.Minute, func() error {
		out, err := try("pgrep", "-f", fmt.Sprintf("^/hold %d( |$)", mib))
		if err == nil {
			pid, err = strconv.Atoi(out)
		}
		return err
	})
	return pid
}

// ownCgroup returns the folder of the innermost cgroup of a process that has a limit.
func ownCgroup(t *testing.T, pid int) string {
	t.Helper()
	_, group, _ := strings.Cut(read(t, fmt.Sprintf("/proc/%d/cgroup", pid)), "::")
	for ; group != "/"; group = filepath.Dir(group) {
		dir := filepath.Join("/sys/fs/cgroup", group)
		if text, err := os.ReadFile(filepath.Join(dir, "memory.max")); err == nil && strings.TrimSpace(string(text)) != "max" {
			return dir
		}
	}
	t.Fatalf("process %d has no limit", pid)
	return ""
}

// wantInfo waits for a target with these labels.
func wantInfo(t *testing.T, target string, labels ...string) {
	t.Helper()
	labels = append(labels, fmt.Sprintf("target=%q", target))
	within(t, 2*time.Minute, func() error { // a group has to live for a minute
		text, err := get("/metrics")
		if err != nil {
			return err
		}
		var all []string
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "spillway_target_info{") {
				continue
			}
			all = append(all, line)
			if !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(line, l) }) {
				return nil
			}
		}
		return fmt.Errorf("no target with %q, but:\n%s", labels, strings.Join(all, ""))
	})
}

// wantLimit waits for what is known of the memory of a container.
func wantLimit(t *testing.T, target string, pid int) {
	t.Helper()
	expect(t, fmt.Sprintf("spillway_memory_limit_bytes{target=%q}", target), number(t, ownCgroup(t, pid)+"/memory.max"))
	expect(t, fmt.Sprintf("spillway_memory_limit_info{basis=\"cgroup\",source=\"cgroup_v2\",target=%q}", target), 1)
	expect(t, fmt.Sprintf("spillway_memory_level{target=%q}", target), 0)
	atLeast(t, fmt.Sprintf("spillway_memory_used_bytes{target=%q}", target), 18<<20)
	atLeast(t, fmt.Sprintf("spillway_cgroup_pressure_waiting_seconds_total{resource=\"memory\",target=%q}", target), 0)
}

// grow has a child of the process in each container killed, by which only the child ends.
func grow(t *testing.T, mib int) {
	t.Helper()
	if err := syscall.Kill(holding(t, mib), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
}

const watched = `discover: {by: container, top: 30}
targets: [{name: byimage, processes: {match: {image: 'localhost/shop/*', container: quad}}}]
`

func TestEnginePodman(t *testing.T) {
	what(t, "containers of Podman, with the systemd and the cgroupfs manager, in a pod, by a unit as Quadlet writes it, and of a user: name, image, memory.max")
	engines(t)
	serve(t, watched)
	for i, b := range boxes {
		wantInfo(t, b.target, append(b.labels, `source="discover"`, `unit=""`)...)
		wantLimit(t, b.target, holding(t, 20+i))
	}
	wantInfo(t, "byimage", `container="quad"`, `unit="quad.service"`)
	wantLimit(t, "byimage", holding(t, 24))
	serve(t, strings.Replace(watched, "by: container", "by: pod", 1))
	wantInfo(t, "shop", `pod="shop"`)
	atLeast(t, `spillway_memory_resident_bytes{target="shop"}`, 20<<20)
}

func TestEnginePodmanAgain(t *testing.T) {
	what(t, "`podman run --rm`, again and again: another container of the same name is the same target")
	engines(t)
	serve(t, watched)
	for i := range 2 {
		_, _ = try("podman", "rm", "-f", "-i", "-t", "0", "once")
		sh(t, "podman run -d --rm --name=once --network=none --memory=93m "+webImage+" /hold 25")
		wantInfo(t, "once", `container="once"`)
		atLeast(t, `spillway_process_exits_total{target="once"}`, float64(i))
		wantLimit(t, "once", holding(t, 25))
	}
	if text, _ := get("/metrics"); strings.Contains(text, `"once_2"`) {
		t.Error("the second container is another target")
	}
}

func TestEngineKill(t *testing.T) {
	what(t, "a kill by the kernel in a container of Podman is counted, also one that ends the container")
	engines(t)
	serve(t, watched)
	targets := []string{"byimage"}
	for _, b := range boxes {
		targets = append(targets, b.target)
	}
	for _, name := range targets {
		expect(t, fmt.Sprintf("spillway_cgroup_oom_kills_total{target=%q}", name), 0)
	}
	before := holding(t, 24)
	if err := syscall.Kill(before, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	for i := range boxes {
		grow(t, 20+i)
	}
	within(t, 2*time.Minute, func() error {
		out, err := try("pgrep", "-f", "^/hold 24")
		if err == nil && out == strconv.Itoa(before) {
			err = fmt.Errorf("process %d is not replaced", before)
		}
		return err
	})
	for _, name := range targets {
		expect(t, fmt.Sprintf("spillway_cgroup_oom_kills_total{target=%q}", name), 1)
	}
	atLeast(t, `spillway_host_oom_kills_total`, float64(len(boxes)+1))
}

func TestEngineReclaim(t *testing.T) {
	what(t, "`reclaim_cgroup` of a container of Podman, under its drop-in")
	engines(t)
	serve(t, enforced(t, "targets: [{name: web, processes: {match: {container: web}}, playbooks: {reclaim: [{do: reclaim_cgroup, amount: 24MiB}]}}]\n"),
		block(t, "ProtectControlGroups"), block(t, "CAP_DAC_OVERRIDE"))
	pid := holding(t, 20)
	fill(t, pid)
	wantReclaim(t, "web", pid)
}

// fill writes a file in a container, whose pages are then in the page cache of its cgroup.
func fill(t *testing.T, pid int) {
	t.Helper()
	sh(t, fmt.Sprintf("echo $$ >%s/cgroup.procs; dd if=/dev/zero of=/proc/%d/root/tmp/fill bs=1M count=40 conv=fsync status=none", ownCgroup(t, pid), pid))
}

// wantReclaim plays the playbook reclaim, which asks for 24 MiB, and looks at what the cgroup holds.
func wantReclaim(t *testing.T, target string, pid int) {
	t.Helper()
	expect(t, fmt.Sprintf("spillway_processes{target=%q}", target), 1)
	current := ownCgroup(t, pid) + "/memory.current"
	before := number(t, current)
	if step := play(t, target, "reclaim"); step.Outcome != "done" {
		t.Errorf("want done: %+v", step)
	}
	if after := number(t, current); before-after < 16<<20 {
		t.Errorf("memory.current was %v and is %v", before, after)
	}
}
