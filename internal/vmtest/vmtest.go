package vmtest

// Port is the name of the virtio serial port on which the agent reports.
const Port = "/dev/virtio-ports/vmtest"

// Payload is where the second disk is mounted.
const Payload = "/payload"

// RoundsFile holds, in Payload, how many rounds the benchmark of the reaction has.
const RoundsFile = "rounds"

// Kubelet is the name of the program whose tests use what only they need: a kubelet and the manifests.
const Kubelet = "kubelet"

// Program is one run of the test binary in the machine.
type Program struct {
	Name string `json:"name"` // also the name of the file that its output goes to
	User string `json:"user"` // who runs it
	Boot int    `json:"boot"` // 1, or 2 for what is tested after a reboot
	Run  string `json:"run"`  // the expression for -test.run
	// Limit is its longest time, as a duration; the host writes it.
	Limit string `json:"limit"`
}

// Programs is the table of what runs in the machine, in this order. The tests of one file have a
// prefix in common.
var Programs = []Program{
	{Name: "package", User: "root", Boot: 1, Run: "^TestPackage"},
	{Name: "unit", User: "root", Boot: 1, Run: "^TestUnit"},
	{Name: "enforce", User: "root", Boot: 1, Run: "^TestEnforce"},
	{Name: "user", User: "spillway", Boot: 1, Run: "^TestUser"},
	{Name: "cgroup", User: "root", Boot: 1, Run: "^TestCgroup"},
	{Name: "wake", User: "root", Boot: 1, Run: "^TestWake"},
	{Name: "reaction", User: "root", Boot: 1, Run: "^TestReaction"},
	{Name: "target", User: "root", Boot: 1, Run: "^TestTarget"},
	{Name: "journal", User: "root", Boot: 1, Run: "^TestJournal"},
	{Name: "engine", User: "root", Boot: 1, Run: "^TestEngine"},
	{Name: "restart", User: "root", Boot: 1, Run: "^TestRestart"},
	{Name: "evidence", User: "root", Boot: 1, Run: "^TestEvidence"},
	{Name: "image", User: "root", Boot: 1, Run: "^TestImage"},
	{Name: "oomd", User: "root", Boot: 1, Run: "^TestOomd"},
	{Name: Kubelet, User: "root", Boot: 1, Run: "^TestKubelet"},
	{Name: "boot", User: "root", Boot: 2, Run: "^TestBoot"},
	{Name: "remove", User: "root", Boot: 2, Run: "^TestRemove"},
}

// Message is one line of the report.
type Message struct {
	Boot    int    `json:"boot,omitempty"`    // the machine is up for this time, from 1
	Kernel  string `json:"kernel,omitempty"`  // with Boot
	Systemd string `json:"systemd,omitempty"` // with Boot
	Program string `json:"program,omitempty"` // what the next fields are about
	Output  string `json:"output,omitempty"`  // a piece of what it printed
	Ended   bool   `json:"ended,omitempty"`   // it ended, with ExitCode
	Code    int    `json:"code,omitempty"`    // its exit status; -1 when it could not be run
	Reboot  bool   `json:"reboot,omitempty"`  // the machine goes down and is to be started again
	Done    bool   `json:"done,omitempty"`    // nothing more comes
}
