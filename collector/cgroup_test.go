package collector

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

func TestCgroupVersion1(t *testing.T) {
	h := newFakeHost(t)
	write := func(name, limit string) {
		h.write("sys/fs/cgroup/memory"+name+"/memory.limit_in_bytes", limit+"\n")
		h.write("sys/fs/cgroup/memory"+name+"/memory.usage_in_bytes", "7000000\n")
		h.write("sys/fs/cgroup/memory"+name+"/memory.stat", "active_file 1\ninactive_file 1\ntotal_inactive_file 1000000\ntotal_active_file 2000000\n")
	}
	write("", "9223372036854771712")
	write("/docker", "9223372036854771712")
	write("/docker/a", "8000000")
	write("/docker/a/b", "9223372036854710272") // none, with pages of 64 KiB
	h.write("sys/fs/cgroup/unified/cgroup.controllers", "\n")
	h.write("sys/fs/cgroup/unified/docker/a/b/cgroup.procs", "1\n")
	h.process(10, "node", "4:memory:/docker/a/b\n0::/docker/a/b\n", 400<<10, 0, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{})
	b.mustTick(0)
	b.expect(metric.MemoryLimit, "8e+06", "a")
	b.expect(metric.MemoryUsed, "4e+06", "a")
	b.expect(metric.MemoryLimitInfo, "1", "a", sourceCgroupV1, BasisCgroup)
}

func TestContainersNamespaces(t *testing.T) {
	const line2 = "30 29 0:26 ROOT DIR ro,nosuid - cgroup2 cgroup rw\n"
	const line1 = "31 29 0:27 ROOT DIR/memory ro master:11 - cgroup cgroup rw,memory\n32 29 0:28 / DIR/cpu ro - cgroup cgroup rw,cpu\n"
	tests := []struct {
		name      string
		mountinfo string
		files     map[string]string
		v2, v1    string
		want      int64
		err       string
	}{
		{
			"v2, private namespace: the container is the root", strings.ReplaceAll(line2, "ROOT", "/"),
			map[string]string{"memory.max": "5000000", "memory.current": "1"},
			"/", "", 5000000, "",
		}, {
			"v2, the host's namespace, only the container mounted", strings.ReplaceAll(line2, "ROOT", "/docker/abc"),
			map[string]string{"memory.max": "5000000", "sub/memory.max": "4000000"},
			"/docker/abc/sub", "", 4000000, "",
		}, {
			"v2, another container with a name that begins alike", strings.ReplaceAll(line2, "ROOT", "/docker/abc"),
			map[string]string{"memory.max": "5000000", "d/memory.max": "1"},
			"/docker/abcd", "", 0, "/host/sys",
		}, {
			"v1, the host's namespace, only the container mounted", strings.ReplaceAll(line1, "ROOT", "/docker/abc"),
			map[string]string{"memory/memory.limit_in_bytes": "6000000"},
			"", "/docker/abc", 6000000, "",
		}, {
			"v2, a sibling seen from a private namespace", strings.ReplaceAll(line2, "ROOT", "/"),
			map[string]string{"memory.max": "5000000"},
			"/../def", "", 0, "/host/sys",
		}, {
			"a limit that is not a number", strings.ReplaceAll(line2, "ROOT", "/"),
			map[string]string{"memory.max": "lots"},
			"/", "", 0, "neither",
		}, {
			"a limit of nothing", strings.ReplaceAll(line2, "ROOT", "/"),
			map[string]string{"memory.max": "0"},
			"/", "", 1, "",
		}, {
			"no cgroups at all", "29 1 0:1 / /x rw - tmpfs tmpfs rw\n", nil, "/a", "/b", 0, "mounted here",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newFakeHost(t)
			base := filepath.Join(h.sys(), "fs/cgroup")
			h.write("proc/self/mountinfo", strings.ReplaceAll(tt.mountinfo, "DIR", base))
			for name, text := range tt.files {
				h.write("sys/fs/cgroup/"+name, text+"\n")
			}
			got, _, err := NewLimits(LimitsOptions{Procfs: h.proc(), Sysfs: h.sys()}).cgroups(testStart, tt.v2, tt.v1)
			if got.bytes != tt.want || (err != nil) != (tt.err != "") {
				t.Errorf("limit %d, %v, want %d, %q", got.bytes, err, tt.want, tt.err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %q, want it to say %q", err, tt.err)
			}
		})
	}
}

// TestContainerWithHostTree: the kernel shows paths relative to the cgroup namespace of this process,
// and the host's hierarchy is mounted alongside its own.
func TestContainerWithHostTree(t *testing.T) {
	const own = "/kubepods.slice/kubepods-burstable.slice/pod1.slice/cri-containerd-aa.scope"
	h := newFakeHost(t)
	host := filepath.Join(h.dir, "host/sys/fs/cgroup")
	for name, limit := range map[string]string{
		own: "5000000", "/kubepods.slice/kubepods-burstable.slice/pod1.slice/cri-containerd-bb.scope": "4000000", "/system.slice/containerd.service": "3000000",
	} {
		h.write("host/sys/fs/cgroup"+name+"/memory.max", limit+"\n")
		h.write("host/sys/fs/cgroup"+name+"/memory.current", "1\n")
	}
	base := filepath.Join(h.sys(), "fs/cgroup")
	if err := os.MkdirAll(filepath.Dir(base), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(host, own), base); err != nil { // one inode, as two mounts of it have
		t.Fatal(err)
	}
	h.write("proc/self/mountinfo", "30 29 0:26 / "+base+" ro - cgroup2 cgroup rw\n31 29 0:26 /../../../.. "+host+" ro - cgroup2 cgroup rw\n")
	limits := NewLimits(LimitsOptions{Procfs: h.proc(), Sysfs: filepath.Join(h.dir, "host/sys")})
	for raw, want := range map[string]int64{"/": 5000000, "/../cri-containerd-bb.scope": 4000000, "/../../../../system.slice/containerd.service": 3000000} {
		got, _, err := limits.cgroups(testStart, resolved(limits, raw), "")
		if err != nil || got.bytes != want {
			t.Errorf("%s: limit %d, %v, want %d", raw, got.bytes, err, want)
		}
	}
}

// resolved is the path in the unified hierarchy of a process that is shown as raw.
func resolved(l *Limits, raw string) string {
	return string(l.opts.Cgroups.Resolve(testStart, nil, true, []byte(raw)))
}

func FuzzParseReclaimable(f *testing.F) {
	f.Add([]byte("active_file 1\ninactive_file 2\nslab_reclaimable 3\n"), true)
	f.Add([]byte("total_active_file 1\ntotal_inactive_file 2\n"), false)
	f.Fuzz(func(t *testing.T, b []byte, unified bool) {
		if n, err := parseReclaimable(b, unified); err == nil && n < 0 {
			t.Errorf("%q gives %d", b, n)
		}
	})
}

func FuzzParseLimit(f *testing.F) {
	f.Add([]byte("max\n"))
	f.Add([]byte("9223372036854771712\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := parseLimit(b); n < 0 || err != nil && n != 0 {
			t.Errorf("%q gives %d, %v", b, n, err)
		}
	})
}
