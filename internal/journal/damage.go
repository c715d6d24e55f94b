package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// guarded runs f and turns a panic or a memory fault into a faultError: bbolt asserts what it
// reads, and a file that was cut short faults in its mapping.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &faultError{r}
		}
	}()
	return f()
}

// faultError says that bbolt broke off, perhaps with its locks held: it must not be used again.
// It is an errDamaged.
type faultError struct{ why any }

func (e *faultError) Error() string { return fmt.Sprintf("its content cannot be read: %v", e.why) }

func (e *faultError) Is(target error) bool { return target == errDamaged }

// stamp is what changes with every write to a file, whoever writes.
type stamp struct {
	size            int64
	mtime, changeAt time.Time
}

func stampOf(f *os.File) (stamp, error) {
	info, err := f.Stat()
	if err != nil {
		return stamp{}, err
	}
	s := stamp{size: info.Size(), mtime: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.changeAt = time.Unix(sys.Ctim.Unix())
	}
	return s, nil
}

// An audit waits until nothing has been written for a time, so that hardly an intent has to wait for it.
const (
	auditDelay  = 50 * time.Millisecond
	auditPerMiB = 200 * time.Millisecond // more, for what is beyond the first MiB
)

// custody watches over the file of an open journal. bbolt maps it, so whoever writes to it or cuts
// it short changes what bbolt believes. Before each use the file's stamp is compared with that of
// our own last write; another one is read through by verify, and a file that is damaged is given up
// for good: bbolt is not called again, not even to close it, since it may hold its locks for ever.
// What another writes just while we do is in the stamp that we take for ours, so a moment after we wrote
// the file is read through: see audit.
type custody struct {
	path    string
	handle  *os.File
	damaged func(error) // called once, before lost is closed

	pageSize int64
	address  uintptr // of the mapping; to ask bbolt for it later would touch it
	*attendance

	writes sync.Mutex // held by who writes the file or verifies it

	mu       sync.Mutex
	known    stamp
	head     head
	writing  bool
	verified stamp // of the file when all of it was last read

	once sync.Once
	lost chan struct{} // closed when the file is given up
	why  error         // valid once lost is closed
	left sync.Once     // by abandon
}

func newCustody(path string, handle *os.File, info *bolt.Info, logger *slog.Logger, damaged func(error)) (*custody, error) {
	c := &custody{
		path: path, handle: handle, pageSize: int64(info.PageSize), address: info.Data, damaged: damaged, attendance: newAttendance(path, logger),
		lost: make(chan struct{}),
	}
	var err, err2 error
	c.known, err = stampOf(handle)
	c.head, err2 = c.headOf()
	return c, errors.Join(err, err2)
}

// head is what the file's two meta pages say: which tree is the newest.
type head [2][96]byte

func (c *custody) headOf() (h head, err error) {
	for i := range h {
		if _, err := c.handle.ReadAt(h[i][:], int64(i)*c.pageSize); err != nil {
			return head{}, err
		}
	}
	return h, nil
}

// giveUp ends all use of the file, and returns the reason for it.
func (c *custody) giveUp(cause error) error {
	c.once.Do(func() {
		c.why = fmt.Errorf("%w: %s: %w: reload or restart the exporter, which moves a damaged file aside", ErrDamaged, c.path, cause)
		c.damaged(c.why)
		close(c.lost)
	})
	<-c.lost
	return c.why
}

// given returns the reason once the file is given up.
func (c *custody) given() error {
	select {
	case <-c.lost:
		return c.why
	default:
		return nil
	}
}

// usable returns why a caller need not even try.
func (c *custody) usable() error {
	if err := c.given(); err != nil {
		return err
	}
	return c.silent()
}

// trusted returns why the file must not be used, an ErrDamaged when it is given up.
func (c *custody) trusted() error {
	if err := c.given(); err != nil {
		return err
	}
	c.mu.Lock()
	known, writing := c.known, c.writing
	c.mu.Unlock()
	now, err := c.stamp()
	if err != nil {
		return err
	}
	if now == known || writing && now.size >= known.size {
		return nil
	}
	c.writes.Lock() // what we wrote ourselves meanwhile is known after it
	defer c.writes.Unlock()
	c.mu.Lock()
	known = c.known
	ours := c.head
	c.mu.Unlock()
	if now, err = c.stamp(); err != nil || now == known {
		return err
	}
	return c.readThrough(now, ours)
}

// readThrough reads all of the file, whose stamp is now, and gives it up when it is damaged or its meta pages
// are not ours. It is called by the holder of writes.
func (c *custody) readThrough(now stamp, ours head) error {
	switch err := verify(c.handle, now.size); {
	case isSystem(err):
		return err
	case err != nil:
		return c.giveUp(fmt.Errorf("it was changed by another program: %w", err))
	}
	switch h, err := c.headOf(); {
	case err != nil:
		return err
	case h != ours: // such as an older copy
		return c.giveUp(errors.New("another program has put other content into it"))
	}
	c.mu.Lock()
	c.known, c.verified = now, now
	c.mu.Unlock()
	return nil
}

// audit reads through a file that we have written since that was last done.
func (c *custody) audit() error {
	if err := c.trusted(); err != nil {
		return err
	}
	c.writes.Lock()
	defer c.writes.Unlock()
	c.mu.Lock()
	known, ours, verified := c.known, c.head, c.verified
	c.mu.Unlock()
	if known == verified {
		return nil
	}
	return c.readThrough(known, ours)
}

// auditDelay is how long nothing is written before the file is read through.
func (c *custody) auditDelay() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return auditDelay + auditPerMiB*time.Duration(max(c.known.size>>20-1, 0))
}

func (c *custody) stamp() (stamp, error) {
	s, err := stampOf(c.handle)
	if errors.Is(err, os.ErrClosed) {
		return s, ErrClosed
	}
	return s, err
}

// inPlace returns an ErrMoved when the open file is not the one at its path: another exporter may
// begin a journal there, and no one would find what is written to this one.
func (c *custody) inPlace() error {
	there, err := os.Lstat(c.path)
	if err == nil {
		var ours os.FileInfo
		if ours, err = c.handle.Stat(); err == nil && os.SameFile(there, ours) {
			return nil
		}
	}
	if err == nil {
		err = errors.New("another file is there")
	}
	return fmt.Errorf("%w: %w: put %s back, or reload or restart the exporter", ErrMoved, err, c.path)
}

// use runs f, which calls bbolt, and gives the file up when that broke off.
func (c *custody) use(f func() error) error {
	err := guarded(f)
	if fault, ok := errors.AsType[*faultError](err); ok {
		return c.giveUp(fault)
	}
	if errors.Is(err, bolterrors.ErrInvalidMapping) { // bbolt maps it never again
		return c.giveUp(err)
	}
	return err
}

// read runs f in a transaction that reads.
func (c *custody) read(db *bolt.DB, f func(*bolt.Tx) error) error {
	if err := c.trusted(); err != nil {
		return err
	}
	return c.inMemory(func() error { return db.View(f) })
}

// write runs f in a synced transaction.
func (c *custody) write(db *bolt.DB, f func(*bolt.Tx) error) error {
	if err := c.trusted(); err != nil {
		return err
	}
	c.writes.Lock()
	defer c.writes.Unlock()
	c.setWriting(true)
	defer c.setWriting(false)
	return c.inMemory(func() error { return db.Update(f) })
}

// inMemory runs f, which calls bbolt, once what it may read is in memory.
func (c *custody) inMemory(f func() error) error {
	c.mu.Lock()
	size := c.known.size
	c.mu.Unlock()
	return c.use(func() error {
		if err := resident(c.address, c.handle, size); err != nil {
			return err
		}
		return f()
	})
}

func (c *custody) setWriting(on bool) {
	var (
		now stamp
		h   head
		err = errors.New("not written yet")
	)
	if !on {
		h, err = c.headOf()
		if err == nil {
			now, err = stampOf(c.handle)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = on
	if err == nil {
		c.known, c.head = now, h
	}
}

// close closes the database, or only its file, with the lock on it, where that is given up.
func (c *custody) close(db *bolt.DB) error {
	closed := make(chan error, 1)
	go func() {
		if c.given() == nil {
			closed <- c.use(db.Close)
		}
	}()
	timer := time.NewTimer(closePatience)
	defer timer.Stop()
	select {
	case err := <-closed:
		return err
	case <-c.lost:
		go func() { closed <- errors.Join(c.why, c.abandon()) }()
	case <-timer.C:
		return c.noAnswer(closePatience)
	}
	select {
	case err := <-closed:
		return err
	case <-timer.C:
		return c.noAnswer(closePatience)
	}
}

// abandon is abandon, once, for the file of a database that was given up.
func (c *custody) abandon() (err error) {
	c.left.Do(func() { err = abandon(c.handle) })
	return err
}

// abandon closes the file of a database that must not be called again. The lock is taken off
// first: bbolt's mapping of the file would keep it for as long as the process lives.
func abandon(handle *os.File) error {
	return errors.Join(unix.Flock(int(handle.Fd()), unix.LOCK_UN), handle.Close())
}

// look reads from a store. It does not wait for one that is given up or whose disk does not answer:
// then the reading may never end, and what it would still bring is dropped.
func look[T any](s store, read func(tx) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	run := func() (a answer) {
		a.err = s.view(func(t tx) (err error) {
			a.value, err = read(t)
			return err
		})
		return a
	}
	c := s.custody()
	if c == nil {
		a := run()
		return a.value, a.err
	}
	var none T
	if err := c.usable(); err != nil {
		return none, err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case c.readers <- struct{}{}:
	case <-timer.C:
		return none, c.gaveUp()
	}
	done := make(chan answer, 1)
	go func() {
		leave := c.enter()
		a := run()
		leave()
		<-c.readers
		done <- a
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-c.lost:
		return none, c.why
	case <-timer.C:
		return none, c.gaveUp()
	}
}
