package refuse

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestAgain(t *testing.T) {
	if os.Getenv(Variable) == "" {
		Again(t, "openat2:EPERM,memfd_create:EINVAL", "^TestAgain$")
		if _, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{Flags: unix.O_PATH}); err == unix.EPERM {
			t.Error("openat2 is refused here too")
		}
		return
	}
	if _, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{Flags: unix.O_PATH}); err != unix.EPERM {
		t.Errorf("openat2: %v, want EPERM", err)
	}
	if _, err := unix.MemfdCreate("x", 0); err != unix.EINVAL {
		t.Errorf("memfd_create: %v, want EINVAL", err)
	}
	if _, err := unix.Openat(unix.AT_FDCWD, "/", unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
		t.Errorf("openat: %v, want to pass", err)
	}
}

func TestProgramRefusesOtherWords(t *testing.T) {
	for _, calls := range []string{"", "openat2", "read:ENOSYS", "openat2:EACCES", "openat2:ENOSYS,"} {
		if _, err := program(calls); err == nil {
			t.Errorf("%q is accepted", calls)
		}
	}
}
