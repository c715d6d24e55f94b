package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The processes of a target.
var (
	Processes          = series.NewGauge("spillway_processes", "Live processes of the target.", "target")
	ProcessStarts      = series.NewCounter("spillway_process_starts_total", "Processes that joined the target, as seen by the sampler.", "target")
	ProcessExits       = series.NewCounter("spillway_process_exits_total", "Processes that left the target, as seen by the sampler.", "target")
	TargetRestarts     = series.NewCounter("spillway_target_restarts_total", "Restarts as seen by the sampler: all processes of the target were replaced. Absent for discovered groups that are not units or cgroups.", "target")
	ProcessOldestStart = series.NewGauge("spillway_process_oldest_start_time_seconds", "Unix time at which the target's oldest process started.", "target")
)

// What the processes of a target do.
var (
	ProcessCPU         = series.NewCounter("spillway_process_cpu_seconds_total", "Processor time of the target's processes since they were first seen.", "target", "mode")
	ProcessMinorFaults = series.NewCounter("spillway_process_minor_page_faults_total", "Page faults of the target's processes that needed no disk.", "target")
	ProcessMajorFaults = series.NewCounter("spillway_process_major_page_faults_total", "Page faults of the target's processes that waited for the disk: the memory does not hold what they use.", "target")
	ProcessThreads     = series.NewGauge("spillway_process_threads", "Threads of the target's processes.", "target")
	ProcessFDs         = series.NewGauge("spillway_process_open_fds", "Open file descriptors of the target's processes; absent where this user may not count them.", "target")
)

// What discovery sees of the host.
var (
	DiscoveryProcesses  = series.NewGauge("spillway_discovery_processes", "Processes of the host in the last listing.")
	DiscoveryUnreadable = series.NewGauge("spillway_discovery_unreadable_processes", "Processes of which this user may not read enough to decide which target they belong to.")
	DiscoveryHeld       = series.NewGauge("spillway_discovery_held_descriptors", "Descriptors of /proc that are held open to read memory with one system call each.")
)

// What the kernel tells of the ends of processes.
var (
	ProcessExitReasons = series.NewCounter("spillway_process_exit_reasons_total", "Ends of the target's processes and their children by reason: exit_0, exit_error, or the name of the signal; with procevents, which sees also those that lived for milliseconds.", "target", "reason")
	ProcessEndedPeak   = series.NewGauge("spillway_process_ended_peak_bytes", "Largest resident memory that a process of the target, or a child of one, had before it ended within the window; with procevents.", "target")
	ProcessEventsLost  = series.NewCounter("spillway_process_events_lost_total", "Times that the kernel dropped events of processes because they came too fast.")
)
