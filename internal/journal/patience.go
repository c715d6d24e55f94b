package journal

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	patience      = 3 * time.Second         // of a caller; every answer of the exporter is due in 5 s
	closePatience = 1500 * time.Millisecond // of the end, which has 2 s
	openPatience  = 20 * time.Second        // of the start, which reads the whole file
	residentPages = 32                      // in one reading
	readersAtOnce = 4                       // readings that use the disk at the same time
)

// attendance knows which calls are at the disk, and since when. A disk may keep a call for ever, as
// an NFS server that is gone does: then its caller leaves after patience, and those who come after
// it are refused at once until every late call has come back. So at most readersAtOnce readings and
// one write are left behind, however many ask.
type attendance struct {
	path    string
	logger  *slog.Logger
	readers chan struct{} // holds one entry for each reading

	mu    sync.Mutex
	calls map[*call]struct{}
	said  bool // that the disk does not answer
}

// call is one use of the disk.
type call struct{ since time.Time }

func newAttendance(path string, logger *slog.Logger) *attendance {
	return &attendance{path: path, logger: logger, readers: make(chan struct{}, readersAtOnce), calls: make(map[*call]struct{})}
}

// enter notes a call that goes to the disk; leave is called once it is back.
func (a *attendance) enter() (leave func()) {
	c := &call{time.Now()}
	a.mu.Lock()
	a.calls[c] = struct{}{}
	a.mu.Unlock()
	return func() {
		a.mu.Lock()
		delete(a.calls, c)
		again := a.said && a.oldest() < patience
		if again {
			a.said = false
		}
		a.mu.Unlock()
		if again {
			a.logger.Info("the disk of the journal answers again", "path", a.path, "after", time.Since(c.since).Round(time.Millisecond))
		}
	}
}

// oldest returns how long the oldest call has been at the disk. mu is held.
func (a *attendance) oldest() (age time.Duration) {
	for c := range a.calls {
		age = max(age, time.Since(c.since))
	}
	return age
}

// silent returns an ErrNoAnswer while a call has been at the disk for longer than patience.
func (a *attendance) silent() error {
	a.mu.Lock()
	age := a.oldest()
	first := age >= patience && !a.said
	if first {
		a.said = true
	}
	a.mu.Unlock()
	if age < patience {
		return nil
	}
	err := a.noAnswer(age)
	if first {
		a.logger.Error("the disk of the journal does not answer: no action runs until it does", "path", a.path, "err", err)
	}
	return err
}

func (a *attendance) noAnswer(age time.Duration) error {
	return fmt.Errorf("%w: %s has not answered for %s: check the disk or the server of its mount", ErrNoAnswer, a.path, age.Round(time.Second))
}

// gaveUp is the error of a caller whose patience has ended.
func (a *attendance) gaveUp() error {
	if err := a.silent(); err != nil {
		return err
	}
	return a.noAnswer(patience)
}

// resident reads the pages of the file that are not in memory, by a system call. bbolt reads through
// a mapping, and a thread that waits there for a page of a disk that hangs cannot be stopped: at the
// next garbage collection the whole process would stand still with it. MADV_POPULATE_READ will not
// do: it may keep the lock of the address space while it waits.
func resident(address uintptr, handle *os.File, sizeBytes int64) error {
	page := int64(os.Getpagesize())
	in := make([]byte, (sizeBytes+page-1)/page)
	if len(in) == 0 || sizeBytes > mapBytes {
		return nil // beyond that bbolt maps it anew, at another address
	}
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, address, uintptr(sizeBytes), uintptr(unsafe.Pointer(&in[0]))); errno != 0 {
		clear(in)
	}
	var buf []byte
	for i := 0; i < len(in); i++ {
		if in[i]&1 != 0 {
			continue
		}
		n := 1
		for n < residentPages && i+n < len(in) && in[i+n]&1 == 0 {
			n++
		}
		if buf == nil {
			buf = make([]byte, residentPages*page)
		}
		if _, err := handle.ReadAt(buf[:int64(n)*page], int64(i)*page); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		i += n - 1
	}
	return nil
}
