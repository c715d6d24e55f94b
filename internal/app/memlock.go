package app

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// lockMemory keeps the memory of the process from being paged out, with what it maps from now on, or
// lets it go again. Under pressure the kernel drops the pages of programs first: their code, which
// it would have to read from the disk before anything can be relieved.
//
// What the runtime has reserved is locked when it is used (MCL_ONFAULT, since Linux 4.4): at once it
// would be 70 MB more. The pages of the program are read now, used or not.
func lockMemory(on bool) error {
	if !on {
		return unix.Munlockall()
	}
	if err := mayLock(); err != nil {
		return err
	}
	err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
	if err == nil {
		err = lockProgram()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("lock_memory: the memory cannot be locked (%w): allow the system calls mlock and mlockall, or write lock_memory: false", err), unix.Munlockall())
	}
	return nil
}

// lockProgram locks the program's own mappings, which reads them.
func lockProgram() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(maps)) {
		addresses, rest, _ := strings.Cut(line, " ")
		if !strings.HasSuffix(strings.TrimSpace(rest), program) {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(addresses, "%x-%x", &from, &to); err != nil {
			return fmt.Errorf("/proc/self/maps: %q: %w", addresses, err)
		}
		if _, _, errno := unix.Syscall(unix.SYS_MLOCK, from, to-from, 0); errno != 0 {
			return fmt.Errorf("mlock: %w", errno)
		}
	}
	return nil
}

// mayLock looks at what the kernel allows before anything is locked: with a finite limit, which
// counts what the runtime reserves and never uses too, a later allocation would end the process.
func mayLock() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return fmt.Errorf("lock_memory: the limit of locked memory cannot be read: %w", err)
	}
	return lockAllowed(limit.Cur, hasCapability(unix.CAP_IPC_LOCK))
}

func lockAllowed(limitBytes uint64, capable bool) error {
	if limitBytes == unix.RLIM_INFINITY || capable {
		return nil
	}
	return setup.Mistake(fmt.Errorf("lock_memory: locked memory is limited to %s: write LimitMEMLOCK=infinity in a drop-in of the unit "+
		"(or ulimit -l unlimited; in a container the capability IPC_LOCK), or lock_memory: false", units.Bytes(limitBytes)))
}

// hasCapability reports whether the process has a capability at present.
func hasCapability(capability int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[capability/32].Effective&(1<<(capability%32)) != 0
}

// applyLock locks the memory or lets it go, as a configuration that is about to run says. was is
// what holds until then.
func applyLock(on, was bool) error {
	if on == was {
		return nil
	}
	err := lockMemory(on)
	if !on && errors.Is(err, unix.EPERM) {
		return nil // nothing could be locked either
	}
	return err
}
