//go:build vm

package guest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	ownImage    = "docker.io/library/spillway_exporter:dev"
	imageConfig = "/etc/spillway/image.yml"
)

// inImage starts the exporter from its image, in the place of the unit, and returns when it is ready.
func inImage(t *testing.T, config string, args []string, command ...string) {
	t.Helper()
	engines(t)
	rested(t)
	if _, err := try("podman", "image", "exists", ownImage); err != nil {
		run(t, "podman", "load", "-q", "-i", "/payload/spillway_exporter.tar")
	}
	write(t, imageConfig, "sample_interval: 1s\nstandalone: true\n"+config)
	_, _ = try("podman", "rm", "-f", "-t", "0", "exporter")
	run(t, "podman", append(append([]string{
		"run", "-d", "--name=exporter", "--pid=host", "--network=host", "--memory=200m", "-v", imageConfig + ":/etc/spillway/spillway.yml:ro",
	}, args...), append([]string{ownImage}, command...)...)...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(imageLogs(t))
		}
		_, _ = try("podman", "rm", "-f", "-t", "0", "exporter")
	})
	ready(t)
	if _, err := get("/-/healthy"); err != nil {
		t.Error(err)
	}
}

func imageLogs(t *testing.T) string {
	t.Helper()
	out, _ := try("podman", "logs", "exporter")
	return out
}

// held is a target for each container of Podman. Their names are not seen from inside: they are found by
// their arguments.
func held() string {
	config := "targets:\n  - {name: self, processes: {match: {comm: spillway_export}}}\n"
	for i, b := range boxes {
		config += fmt.Sprintf("  - {name: %s, processes: {match: {comm: hold, cmdline: '^/hold %d'}}}\n", b.name, 20+i)
	}
	return config
}

func TestImageHost(t *testing.T) {
	what(t, "the image in Podman, as a user other than root, with the host's `/sys`: memory.max, pressure and kills of every other container")
	inImage(t, held(), []string{"-v", "/sys:/host/sys:ro"})
	if uid := sh(t, "ps -o uid= -C spillway_export | sort -u | tr -d ' '"); uid != "65532" {
		t.Errorf("it runs as %q", uid)
	}
	for i, b := range boxes {
		wantLimit(t, b.name, holding(t, 20+i))
	}
	expect(t, `spillway_memory_limit_bytes{target="self"}`, 200<<20)
	kills, err := metric(`spillway_cgroup_oom_kills_total{target="web"}`)
	if err != nil {
		t.Fatal(err)
	}
	grow(t, 20)
	expect(t, `spillway_cgroup_oom_kills_total{target="web"}`, kills+1)
}

func TestImageReclaim(t *testing.T) {
	what(t, "the image in Podman as root, with the host's `/sys` writable and its root: names of containers, `reclaim_cgroup` of another one")
	engines(t)
	config := enforced(t, "targets: [{name: flat, processes: {match: {container: flat}}, playbooks: {reclaim: [{do: reclaim_cgroup, amount: 24MiB}]}}]\n")
	inImage(t, config, []string{"--user=0:0", "-v", "/sys:/host/sys", "-v", "/:/host:ro", "-v", tokenFile + ":" + tokenFile + ":ro"},
		"serve", "--config.file=/etc/spillway/spillway.yml", "--path.rootfs=/host")
	pid := holding(t, 21)
	wantInfo(t, "flat", `container="flat"`)
	fill(t, pid)
	wantReclaim(t, "flat", pid)
}

func TestImageAlone(t *testing.T) {
	what(t, "the image in Podman without the host's `/sys`: its own limit, none for the others, and one sentence in the log")
	inImage(t, held(), nil)
	expect(t, `spillway_memory_limit_bytes{target="self"}`, 200<<20)
	for _, b := range boxes {
		atLeast(t, fmt.Sprintf("spillway_memory_resident_bytes{target=%q}", b.name), 18<<20)
		expect(t, fmt.Sprintf("spillway_source_success{name=\"\",source=\"process\",target=%q}", b.name), 0)
		if limit, err := metric(fmt.Sprintf("spillway_memory_limit_bytes{target=%q}", b.name)); err == nil {
			t.Errorf("%s has the limit %v, which cannot be seen", b.name, limit)
		}
	}
	within(t, 30*time.Second, func() error {
		text := imageLogs(t)
		if said := strings.Count(text, "level=warn"); said != 1 || !strings.Contains(text, "mount the host's /sys") {
			return fmt.Errorf("%d warnings, want one that says what to mount:\n%s", said, text)
		}
		return nil
	})
}
