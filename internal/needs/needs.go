package needs

import "slices"

// Name names a feature.
type Name string

// The features that need something of the host.
const (
	Folders   Name = "folders"   // to see the files of folders
	Processes Name = "processes" // to look into processes of other users
	InUse     Name = "in_use"    // to know whether a file is open
	Cgroups   Name = "cgroups"   // to read limits, events and pressure
	ProcEvent Name = "procevents"
	Journal   Name = "journal"
	Remove    Name = "remove"  // from folders with a policy
	Sticky    Name = "sticky"  // the same where the folder has the sticky bit
	Signal    Name = "signal"  // processes of other users
	Reclaim   Name = "reclaim" // memory of a cgroup
	Command   Name = "command"
	Compile   Name = "compile" // a command that compiles at run time
	Restart   Name = "restart" // a unit of systemd, by a command
	Network   Name = "network" // an inspector in another network namespace
	Lock      Name = "lock"    // the exporter's own memory
)

// Access is a right to a path.
type Access string

// The rights.
const (
	Read  Access = "read"
	Write Access = "write"
)

// Dir stands for the folder in question in Path and Unit.
const Dir = "DIR"

// CgroupRoot is where the cgroups are, as the unit sees them.
const CgroupRoot = "/sys/fs/cgroup"

// What filters the system calls of the exporter, and lets through those of all features: the set of systemd in the unit
// with mincore, by which the journal sees what is in memory, and the profile of the runtime in a container.
const (
	Filter  = "@system-service mincore"
	Profile = "RuntimeDefault"
)

// Feature is a row of the table.
type Feature struct {
	Name Name
	For  string // what it lets the exporter do, as "without it the exporter cannot ..."

	Enforce bool // only mode enforce needs it
	Extra   bool // the unit does not come with it: it is a line of the drop-in
	Apart   bool // neither has it, since it is close to being root: its lines stand in the documentation alone

	Capabilities []string // that give the right to a user other than root
	Calls        []string // system calls of the table Calls that it makes
	Path         string   // that it needs a right to; "" = none
	Access       Access   // to Path
	Unit         []string // further lines of the unit
	Instead      []string // capabilities that do in place of Unit, as in a container
}

// Features is the table.
var Features = []Feature{
	{
		Name: Folders, For: "count the files in folders of other users", Capabilities: []string{"CAP_DAC_READ_SEARCH"},
		Calls: []string{"openat2", "statx"}, Path: Dir, Access: Read,
	},
	{
		Name: Processes, For: "see the program, the open files and the root of other users' processes",
		Capabilities: []string{"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"}, // the folder /proc/PID/fd is closed to others as well
		Path:         "/proc", Access: Read,
	},
	{
		Name: InUse, For: "ask the kernel whether another user's file is open", Capabilities: []string{"CAP_LEASE"},
		Path: Dir, Access: Read,
	},
	{Name: Cgroups, For: "read memory.high, memory events and pressure of a service", Path: CgroupRoot, Access: Read},
	{
		Name: ProcEvent, Extra: true, For: "follow the exits of processes (procevents)", Capabilities: []string{"CAP_NET_ADMIN"},
		Unit: []string{"RestrictAddressFamilies=AF_NETLINK"},
	},
	{
		Name: Journal, Enforce: true, For: "record what is done", Calls: []string{"memfd_create"}, Path: "/var/lib/spillway", Access: Write,
		Unit: []string{"StateDirectory=spillway"},
	},
	{
		Name: Remove, Enforce: true, Extra: true, For: "change folders of other users", Capabilities: []string{"CAP_DAC_OVERRIDE"},
		Calls: []string{"openat2", "statx", "faccessat2", "renameat2", "copy_file_range"}, Path: Dir, Access: Write,
		Unit: []string{"ReadWritePaths=-" + Dir},
	},
	{
		Name: Sticky, Enforce: true, Extra: true, For: "remove files of other users from folders with the sticky bit", Capabilities: []string{"CAP_FOWNER"},
		Path: Dir, Access: Write,
	},
	{
		Name: Signal, Enforce: true, Extra: true, For: "signal processes of other users", Capabilities: []string{"CAP_KILL"},
		Calls: []string{"pidfd_open", "pidfd_send_signal"},
	},
	{
		Name: Reclaim, Enforce: true, Extra: true, For: "have the kernel reclaim memory of a cgroup", Capabilities: []string{"CAP_DAC_OVERRIDE"},
		Path: CgroupRoot, Access: Write, Unit: []string{"ProtectControlGroups=no", "ReadWritePaths=" + CgroupRoot},
	},
	{Name: Command, Enforce: true, For: "run programs", Calls: []string{"clone3"}},
	{
		Name: Compile, Enforce: true, Extra: true, For: "run programs that compile at run time (node, java)",
		Unit: []string{"MemoryDenyWriteExecute=no"},
	},
	{Name: Restart, Enforce: true, For: "restart a service with systemctl: a polkit rule"},
	{
		Name: Network, Apart: true, For: "ask an inspector in the network namespace of its process", Capabilities: []string{"CAP_SYS_ADMIN"},
		Unit: []string{"RestrictNamespaces=net"},
	},
	{
		Name: Lock, Extra: true, For: "keep its own memory from being paged out (lock_memory)",
		Unit: []string{"LimitMEMLOCK=infinity"}, Instead: []string{"CAP_IPC_LOCK"},
	},
}

// Of returns the row of a feature.
func Of(name Name) Feature {
	return Features[slices.IndexFunc(Features, func(f Feature) bool { return f.Name == name })]
}

// Capabilities returns those that the unit comes with, or with extra those that its drop-in can add,
// each once, in the order of the table.
func Capabilities(extra bool) []string {
	var out []string
	for _, f := range Features {
		for _, c := range f.Capabilities {
			if f.Extra == extra && !f.Apart && !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out
}

// OldestKernel is the oldest release of Linux that the exporter runs on.
const OldestKernel = "4.18"

// Calls are the system calls that a kernel, a file system or a filter may refuse although the exporter
// makes them, and since when Linux has them. Each has a stand-in, or a refusal that names it. Those that
// OldestKernel has are here because filters and file systems refuse them, or a part of what they do.
var Calls = map[string]string{
	"openat2": "5.6", "statx": "4.11", "faccessat2": "5.8", "renameat2": "3.15", "pidfd_open": "5.3", "pidfd_send_signal": "5.1",
	"memfd_create": "3.17", "copy_file_range": "4.5", "clone3": "5.3",
}
