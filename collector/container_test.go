package collector

import (
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

const (
	testContainer = "26971d13a55d4cb0d1a3c2f6a60f0a3fd3b8a1c5e2c94f0b7d6a8e9f01234567"
	testPodUID    = "5ad8d0a7-7c4c-4a2b-9d3a-6f2f1f0e9b11"
)

// TestContainerIsTheTarget: of a group that stands for a container the container's limit, events and use
// are published, as of a configured target, and its names by spillway_target_info alone.
func TestContainerIsTheTarget(t *testing.T) {
	h := newFakeHost(t)
	cgroup := "/kubepods/burstable/pod" + testPodUID + "/" + testContainer
	h.unified(cgroup, 3)
	h.write("sys/fs/cgroup"+cgroup+"/memory.max", "2000000\n")
	h.write("root/var/log/containers/web-7d4b9c6f5-x2x9z_shop_web-"+testContainer+".log", "")
	h.write("root/var/log/pods/shop_web-7d4b9c6f5-x2x9z_"+testPodUID+"/web/0.log", "")
	h.process(10, "node", "0::"+cgroup+"\n", 100, 0, 0, 0)
	h.process(11, "sshd", "0::/system.slice/ssh.service\n", 100, 0, 0, 0)
	for by, name := range map[string]string{proc.ByContainer: "shop/web/web", proc.ByPod: "shop/web"} {
		o := nodeTarget()
		o.Targets[0].Name, o.Targets[0].Config.Match = "configured", proc.Match{Comm: "sshd"}
		o.RootFS, o.Discover = h.dir+"/root", &proc.Discover{By: by, Top: 5}
		b := newBench(t, h, o)
		b.add(NewGroupsSource(GroupsOptions{Tracker: b.tracker, Store: b.store, Limits: b.limits, Thresholds: testThresholds}))
		b.add(NewInfoSource([]InfoTarget{{"configured", "enforce", true}, {"folders", "dry_run", false}}, b.tracker))
		b.mustTick(0)
		b.mustTick(time.Second)
		b.expect(metric.MemoryLimit, "2e+06", name)
		b.expect(metric.MemoryLimitInfo, "1", name, sourceCgroupV2, BasisCgroup)
		b.expect(metric.MemoryUsedRatio, "0.5", name)
		b.expect(metric.CgroupOOMKills, "3", name)
		b.expect(metric.TargetInfo, "1", name, "", infoDiscover, "", "web", "web-7d4b9c6f5-x2x9z", "shop")
		b.expect(metric.TargetInfo, "1", "configured", "enforce", infoConfig, "ssh.service", "", "", "")
		b.expect(metric.TargetInfo, "1", "folders", "dry_run", infoConfig, "", "", "", "")
	}
}

// TestContainerThatIsNotSeen: of a container whose cgroup is not seen no limit is known. That of the host
// stands for no container.
func TestContainerThatIsNotSeen(t *testing.T) {
	h := newFakeHost(t)
	h.write("proc/self/mountinfo", "30 29 0:26 / "+h.sys()+"/fs/cgroup ro - cgroup2 cgroup rw\n")
	h.write("sys/fs/cgroup/memory.max", "max\n")
	h.write("root/var/lib/containers/storage/overlay-containers/containers.json", `[{"id":"`+testContainer+`","names":["web"],"metadata":"{\"image-name\":\"shop/web\"}"}]`)
	h.process(10, "node", "0::/../libpod-"+testContainer+".scope/container\n", 100, 0, 0, 0)
	o := nodeTarget()
	o.Targets[0].Name, o.Targets[0].Config.Match = "configured", proc.Match{Comm: "sshd"}
	o.RootFS, o.Discover = h.dir+"/root", &proc.Discover{By: proc.ByContainer, Top: 5}
	b := newBench(t, h, o)
	b.add(NewGroupsSource(GroupsOptions{Tracker: b.tracker, Store: b.store, Limits: b.limits, Thresholds: testThresholds}))
	for range 2 {
		if err := b.tick(time.Second); !isOutside(err) {
			t.Errorf("%v, want that the cgroup is not seen", err)
		}
	}
	b.expect(metric.Processes, "1", "web")
	b.expect(metric.MemoryLimit, "", "web")
	b.expect(metric.MemoryLevel, "", "web")
}
