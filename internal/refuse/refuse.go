package refuse

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Variable is the environment variable that FromEnvironment reads, such as
// "openat2:EPERM,statx:ENOSYS".
const Variable = "SPILLWAY_TEST_REFUSE"

// numbers are the system calls that can be refused.
var numbers = map[string]uint32{
	"clone3": unix.SYS_CLONE3, "close_range": unix.SYS_CLOSE_RANGE, "copy_file_range": unix.SYS_COPY_FILE_RANGE,
	"faccessat2": unix.SYS_FACCESSAT2, "fallocate": unix.SYS_FALLOCATE, "memfd_create": unix.SYS_MEMFD_CREATE,
	"openat2": unix.SYS_OPENAT2, "pidfd_open": unix.SYS_PIDFD_OPEN, "pidfd_send_signal": unix.SYS_PIDFD_SEND_SIGNAL,
	"renameat2": unix.SYS_RENAMEAT2, "statx": unix.SYS_STATX,
}

var errnos = map[string]unix.Errno{"ENOSYS": unix.ENOSYS, "EPERM": unix.EPERM, "EINVAL": unix.EINVAL}

// FromEnvironment refuses what Variable names, and returns that; "" is nothing.
func FromEnvironment() (calls string, err error) {
	calls = os.Getenv(Variable)
	if calls == "" {
		return "", nil
	}
	return calls, Install(calls)
}

// Install refuses calls, written as "openat2:EPERM,statx:ENOSYS", in all threads from now on.
func Install(calls string) error {
	filter, err := program(calls)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // no_new_privs is the thread's, and the filter takes it to the others
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl: %w", err)
	}
	p := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&p)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}

// program is the filter in the language of seccomp(2): load the number of the call, compare it with
// each, and answer its errno, or let it pass.
func program(calls string) ([]unix.SockFilter, error) {
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // of struct seccomp_data, nr
	for call := range strings.SplitSeq(calls, ",") {
		name, answer, _ := strings.Cut(call, ":")
		number, known := numbers[name]
		errno, means := errnos[answer]
		if !known || !means {
			return nil, fmt.Errorf("%q is not a call that can be refused: write one such as openat2:ENOSYS", call)
		}
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: number, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)})
	}
	return append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}), nil
}
