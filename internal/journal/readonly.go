package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	copyAttempts = 50
	metaBytes    = 2 * 16384 // both meta pages, whatever the page size
)

// OpenReadOnly opens a journal for reading, also while an exporter writes it: it works on a copy
// in memory and takes no lock. Begin, Finish and PutState answer ErrReadOnly. Open intents are
// shown as they are. A journal that does not exist is an fs.ErrNotExist.
func OpenReadOnly(o Options) (*Journal, error) {
	o.applyDefaults()
	o.Registerer = nil
	path := filepath.Join(o.Dir, fileName)
	copied, err := snapshot(path)
	if err != nil {
		return nil, fmt.Errorf("read the journal %s: %w", path, err)
	}
	defer copied.Close()
	corrupt := func(err error) error { return fmt.Errorf("read the journal %s: %w: %w", path, ErrCorrupt, err) }
	info, err := copied.Stat()
	if err == nil {
		err = verify(copied, info.Size())
	}
	if err != nil {
		return nil, corrupt(err)
	}
	opts := boltOptions(true)
	var handle *os.File
	opts.OpenFile = func(string, int, os.FileMode) (f *os.File, err error) {
		handle, err = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", copied.Fd()), os.O_RDONLY, 0)
		return handle, err
	}
	var db *bolt.DB
	err = guarded(func() (err error) {
		db, err = bolt.Open(path, 0o600, opts)
		return err
	})
	if err != nil {
		if handle != nil {
			handle.Close() // bbolt closes it unless it panicked
		}
		return nil, corrupt(err)
	}
	j := newJournal(o, path)
	j.durable, j.readOnly = true, true
	c, err := newCustody(path, handle, db.Info(), o.Logger, j.damaged)
	if err != nil {
		return nil, errors.Join(corrupt(err), db.Close())
	}
	j.hold(&frozen{file{j: j, db: db, c: c}})
	return j, nil
}

// snapshot copies the file while it may be written. bbolt never changes a page of the newest
// committed tree; so a copy is whole when the meta pages did not change while it was made.
func snapshot(path string) (*os.File, error) {
	src, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	fd, err := unix.MemfdCreate("journal", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w: the journal is not copied anywhere else: let the system call pass, or ask the exporter itself, at /api/v1/journal", err)
	}
	dst := os.NewFile(uintptr(fd), "journal")
	before, after := make([]byte, metaBytes), make([]byte, metaBytes)
	for range copyAttempts {
		n, err := src.ReadAt(before, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, errors.Join(err, dst.Close())
		}
		if _, err := io.Copy(io.NewOffsetWriter(dst, 0), io.NewSectionReader(src, 0, 1<<62)); err != nil {
			return nil, errors.Join(err, dst.Close())
		}
		m, err := src.ReadAt(after, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, errors.Join(err, dst.Close())
		}
		if n == m && bytes.Equal(before[:n], after[:m]) {
			return dst, nil
		}
	}
	return nil, errors.Join(errors.New("it is written too often to be copied: ask the exporter itself, at /api/v1/journal"), dst.Close())
}

// frozen is a file that no one writes.
type frozen struct{ file }

func (f *frozen) update(context.Context, func(tx) error, func()) error { return ErrReadOnly }

func (f *frozen) finish(context.Context, func(tx) error) error { return ErrReadOnly }

func (f *frozen) later(_ func(tx) error, done func(error)) { done(ErrReadOnly) }

func (f *frozen) view(read func(tx) error) error {
	return f.c.read(f.db, func(t *bolt.Tx) error {
		b := newBoltTx(t)
		if b.records == nil || b.state == nil {
			return nil // begun and never used
		}
		return read(b)
	})
}

func (f *frozen) close() error { return f.c.close(f.db) }
