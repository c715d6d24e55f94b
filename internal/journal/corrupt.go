package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

const (
	lockRetry = 20 * time.Millisecond // between attempts to lock the file
	mapBytes  = 2 * defaultMaxBytes   // of addresses for the file; see openBolt
)

// openChecked opens the journal's file after reading all of it once, without mapping it. A file
// that cannot be trusted is moved aside. handle is the opened file, which belongs to the database.
func openChecked(path string, o *Options) (db *bolt.DB, handle *os.File, err error) {
	if err := unconfirmed(path, o); err != nil {
		return nil, nil, err
	}
	cause := check(path)
	switch {
	case errors.Is(cause, ErrLocked), isSystem(cause):
		return nil, nil, cause
	case cause != nil:
		moved, err := moveAside(path, o)
		if err != nil {
			return nil, nil, errors.Join(&CorruptError{Path: path, Moved: path, Cause: cause}, err)
		}
		o.Logger.Error("the journal is corrupt and was moved aside", "path", path, "moved", moved, "err", cause)
		if o.OnCorrupt != OnCorruptRecreate {
			return nil, nil, &CorruptError{Path: path, Moved: moved, Cause: cause}
		}
	}
	db, handle, err = openBolt(path)
	if err != nil {
		return nil, nil, err
	}
	if err := prepare(db); err != nil {
		if errors.Is(err, errDamaged) {
			return nil, nil, errors.Join(fmt.Errorf("open %s: %w", path, err), abandon(handle)) // bbolt may hold its locks
		}
		return nil, nil, errors.Join(fmt.Errorf("%w: %w", ErrUnwritable, err), db.Close())
	}
	return db, handle, nil
}

// unconfirmed refuses to begin a new journal alongside a corrupt one that no one has looked at.
func unconfirmed(path string, o *Options) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) || o.OnCorrupt == OnCorruptRecreate {
		return nil
	}
	aside, err := filepath.Glob(globEscape(path) + ".corrupt-*")
	if err != nil || len(aside) == 0 {
		return nil
	}
	return &CorruptError{Path: path, Moved: slices.Max(aside)}
}

func globEscape(path string) string {
	var out []byte
	for i := range len(path) {
		switch path[i] {
		case '*', '?', '[', '\\':
			out = append(out, '\\')
		}
		out = append(out, path[i])
	}
	return string(out)
}

// moveAside gives the file a name that says when it was found corrupt.
func moveAside(path string, o *Options) (string, error) {
	moved := path + ".corrupt-" + o.Now().UTC().Format("20060102T150405.000Z")
	if _, err := os.Lstat(moved); err == nil {
		return "", fmt.Errorf("move %s aside: %s exists already", path, moved)
	}
	if err := os.Rename(path, moved); err != nil {
		return "", fmt.Errorf("move %s aside: %w", path, err)
	}
	return moved, syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// check reads the whole file, with the lock that a writer holds. Its error is an ErrLocked, an
// error of the system, or the reason why the file cannot be trusted.
func check(path string) error {
	f, err := openFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lock(f); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil || info.Size() == 0 { // begun and never used
		return err
	}
	return verify(f, info.Size())
}

// lock takes the lock that bbolt takes, for as long as the file is open.
func lock(f *os.File) error {
	for deadline := time.Now().Add(lockTimeout); ; time.Sleep(lockRetry) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		case time.Now().After(deadline):
			return lockedError(f.Name())
		}
	}
}

func lockedError(path string) error {
	return fmt.Errorf("%w: another spillway_exporter holds %s: stop that one, or write another folder as journal: {dir: ...} for this one", ErrLocked, path)
}

// openBolt opens the file for writing, with a message that says what to do. As many addresses are
// taken as the file will ever need: bbolt cannot go on after a growth that failed because the disk
// had become read-only or was gone.
func openBolt(path string) (db *bolt.DB, handle *os.File, err error) {
	opts := boltOptions(false)
	opts.InitialMmapSize = mapBytes
	opts.OpenFile = func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
		handle, err = openFile(name, flag, mode)
		return handle, err
	}
	err = guarded(func() (err error) {
		db, err = bolt.Open(path, 0o600, opts)
		return err
	})
	switch {
	case err == nil:
		db.AllocSize = allocBytes
		return db, handle, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, nil, lockedError(path)
	}
	if handle != nil {
		_ = abandon(handle) // bbolt closes it unless it panicked; a second close does no harm
	}
	return nil, nil, fmt.Errorf("open %s: %w", path, err)
}

// openFile opens the journal's file, not through a link, and makes it private.
func openFile(name string, flag int, mode os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(name, flag|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, errors.Join(err, f.Close())
	case !info.Mode().IsRegular():
		return nil, errors.Join(&fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}, f.Close())
	case info.Mode().Perm()&0o077 != 0:
		if err := f.Chmod(0o600); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// isSystem reports whether the operating system refused, which says nothing about the content.
func isSystem(err error) bool {
	var pathErr *fs.PathError
	var errno unix.Errno
	return errors.As(err, &pathErr) || errors.As(err, &errno)
}

// prepare makes the buckets. It writes only when they are missing.
func prepare(db *bolt.DB) error {
	missing := false
	err := guarded(func() error {
		return db.View(func(t *bolt.Tx) error {
			missing = t.Bucket(bucketRecords) == nil || t.Bucket(bucketState) == nil
			return nil
		})
	})
	if err != nil || !missing {
		return err
	}
	return guarded(func() error {
		return db.Update(func(t *bolt.Tx) error {
			_, err := t.CreateBucketIfNotExists(bucketRecords)
			_, err2 := t.CreateBucketIfNotExists(bucketState)
			return errors.Join(err, err2)
		})
	})
}
