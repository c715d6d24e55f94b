package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// What the kernel reports of the cgroup that holds a target.
var (
	CgroupOOMKills = series.NewCounter("spillway_cgroup_oom_kills_total", "Processes of the target's cgroup killed by the kernel for lack of memory.", "target")
	CgroupEvents   = series.NewCounter("spillway_cgroup_memory_events_total", "Times that the target's cgroup hit a limit: low, high, max (an allocation found it full), oom (nothing more could be reclaimed).", "target", "event")
	CgroupWaiting  = series.NewCounter("spillway_cgroup_pressure_waiting_seconds_total", "Time during which at least one task of the target's cgroup waited for the resource (version 2).", "target", "resource")
	CgroupStalled  = series.NewCounter("spillway_cgroup_pressure_stalled_seconds_total", "Time during which all tasks of the target's cgroup that had work waited for the resource (version 2).", "target", "resource")
)

var cgroupDescs = []*series.Desc{
	CgroupOOMKills, CgroupEvents, CgroupWaiting, CgroupStalled,
}
