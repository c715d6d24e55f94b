package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The processes of a target.
var (
	Processes          = series.NewGauge("spillway_processes", "Running processes of the target.", "target")
	ProcessStarts      = series.NewCounter("spillway_process_starts_total", "Processes that joined the target, as seen by the sampler.", "target")
	ProcessExits       = series.NewCounter("spillway_process_exits_total", "Processes that left the target, as seen by the sampler.", "target")
	TargetRestarts     = series.NewCounter("spillway_target_restarts_total", "Restarts of the target as seen by the sampler: all its processes were replaced. Absent for discovered groups that are not units or cgroups.", "target")
	ProcessOldestStart = series.NewGauge("spillway_process_oldest_start_time_seconds", "Unix time at which the target's oldest process started.", "target")
)

// What the processes of a target do.
var (
	ProcessCPU         = series.NewCounter("spillway_process_cpu_seconds_total", "Processor time of the target's processes since they were first seen.", "target", "mode")
	ProcessMinorFaults = series.NewCounter("spillway_process_minor_page_faults_total", "Page faults of the target's processes that needed no disk read.", "target")
	ProcessMajorFaults = series.NewCounter("spillway_process_major_page_faults_total", "Page faults of the target's processes that waited for the disk: their working set does not fit in memory.", "target")
	ProcessThreads     = series.NewGauge("spillway_process_threads", "Threads of the target's processes.", "target")
	ProcessFDs         = series.NewGauge("spillway_process_open_fds", "Open file descriptors of the target's processes; absent if this user may not count them.", "target")
)

// What process-exporter shows of a group of processes.
var (
	ProcessReadBytes  = series.NewCounter("spillway_process_read_bytes_total", "Bytes that the target's processes read from storage since they were first seen; absent if this user may not read them.", "target")
	ProcessWriteBytes = series.NewCounter("spillway_process_write_bytes_total", "Bytes that the target's processes wrote to storage since they were first seen; absent if this user may not read them.", "target")
	ProcessSwitches   = series.NewCounter("spillway_process_context_switches_total", "Context switches of the main threads of the target's processes since they were first seen, by kind: voluntary or involuntary.", "target", "kind")
	ProcessFullestFDs = series.NewGauge("spillway_process_worst_fd_ratio", "Largest share of its soft limit of open file descriptors that any process of the target uses; absent if this user may not count them.", "target")
	ProcessNamed      = series.NewGauge("spillway_process_named_threads", "Threads of the target's processes by name, with N for each number in it; at most 20 names, the rest is other. Needs processes.thread_names.", "target", "name")
	ProcessStates     = series.NewGauge("spillway_process_states", "Processes of the target by the state of their main thread: running, sleeping, waiting (uninterruptible, such as for a disk), stopped, zombie, other.", "target", "state")
)

// What discovery sees of the host.
var (
	DiscoveryProcesses  = series.NewGauge("spillway_discovery_processes", "Processes of the host when last listed.")
	DiscoveryUnreadable = series.NewGauge("spillway_discovery_unreadable_processes", "Processes that could not be assigned to a target because this user may not read enough of them.")
	DiscoveryHeld       = series.NewGauge("spillway_discovery_held_descriptors", "Descriptors of /proc kept open so that memory is read with one system call each.")
)

// Process exits as reported by the kernel.
var (
	ProcessExitReasons = series.NewCounter("spillway_process_exit_reasons_total", "Exits of the target's processes and their children, by reason: exit_0, exit_error, or the name of the signal; needs procevents, which also sees processes that live for milliseconds.", "target", "reason")
	ProcessEndedPeak   = series.NewGauge("spillway_process_ended_peak_bytes", "Largest resident memory of any process of the target, or child of one, that exited within the window; needs procevents.", "target")
	ProcessEventsLost  = series.NewCounter("spillway_process_events_lost_total", "Times that the kernel dropped process events because they arrived too fast.")
)

var processDescs = []*series.Desc{
	Processes, ProcessStarts, ProcessExits, TargetRestarts, ProcessOldestStart, ProcessCPU,
	ProcessMinorFaults, ProcessMajorFaults, ProcessThreads, ProcessFDs, ProcessReadBytes, ProcessWriteBytes, ProcessSwitches,
	ProcessFullestFDs, ProcessStates, ProcessNamed, ProcessExitReasons,
	ProcessEndedPeak, ProcessEventsLost, DiscoveryProcesses, DiscoveryUnreadable, DiscoveryHeld,
}
