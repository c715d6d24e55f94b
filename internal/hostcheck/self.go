package hostcheck

import (
	"errors"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/needs"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// self is what this process is.
type self struct {
	uid        int
	user       string // its name, or its number
	groups     []int
	kernel     string
	noNewPrivs bool
	systemd    bool // runs the host
}

// capabilityNumbers are the capabilities of the table by their names.
var capabilityNumbers = map[string]int{
	"CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "CAP_DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH, "CAP_FOWNER": unix.CAP_FOWNER,
	"CAP_KILL": unix.CAP_KILL, "CAP_LEASE": unix.CAP_LEASE, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE,
}

func readSelf() self {
	s := self{uid: os.Geteuid()}
	s.user = strconv.Itoa(s.uid)
	if u, err := user.LookupId(s.user); err == nil {
		s.user = u.Username
	}
	s.groups, _ = os.Getgroups()
	s.groups = append(s.groups, os.Getegid())
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		s.kernel = unix.ByteSliceToString(name.Release[:])
	}
	status, _ := os.ReadFile("/proc/self/status")
	s.noNewPrivs = strings.Contains(string(status), "\nNoNewPrivs:\t1\n")
	_, err := os.Stat("/run/systemd/system") // sd_booted(3)
	s.systemd = err == nil
	return s
}

// has reports whether a capability is in effect, whoever the user is.
func (s *self) has(capability string) bool {
	number, known := capabilityNumbers[capability]
	return known && safefs.Capable(number)
}

func (s *self) inGroup(gid int) bool { return slices.Contains(s.groups, gid) }

// older reports whether a release of Linux is older than another; one that cannot be read is not.
func older(release, than string) bool {
	a, okA := versionOf(release)
	b, okB := versionOf(than)
	return okA && okB && slices.Compare(a, b) < 0
}

func versionOf(release string) ([]int, bool) {
	words := strings.FieldsFunc(release, func(r rune) bool { return r < '0' || r > '9' })
	if len(words) < 2 {
		return nil, false
	}
	major, err := strconv.Atoi(words[0])
	minor, errMinor := strconv.Atoi(words[1])
	return []int{major, minor}, errors.Join(err, errMinor) == nil
}

// procEvents asks for a socket, which is not bound, and for the capability.
func (l *look) procEvents() {
	row := needs.Of(needs.ProcEvent)
	f := Finding{Of: "procevents", Feature: needs.ProcEvent, Unit: capabilityLines(l.lacks(needs.ProcEvent))}
	if len(f.Unit) > 0 {
		f.Problem = "the kernel reports exits of processes only with " + strings.Join(row.Capabilities, ", ")
		l.add(f)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_CONNECTOR)
	if err != nil {
		f.Unit = row.Unit
		f.Problem = "a netlink socket is refused: " + err.Error()
		l.add(f)
		return
	}
	unix.Close(fd)
}
