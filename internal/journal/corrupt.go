package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// maxFullCheck bounds the file size up to which every page is accounted for at the start. All
// records are read in any case. 64 MiB take about a tenth of a second.
const maxFullCheck = 128 << 20

// openChecked opens the journal's file after reading all of it once. The reading has an opening
// of its own, so that its pages do not stay in this process' memory. A file that cannot be
// trusted is moved aside.
func openChecked(path string, o *Options) (*bolt.DB, error) {
	if err := unconfirmed(path, o); err != nil {
		return nil, err
	}
	cause := check(path)
	switch {
	case errors.Is(cause, ErrLocked), isSystem(cause):
		return nil, cause
	case cause != nil:
		moved, err := moveAside(path, o)
		if err != nil {
			return nil, errors.Join(&CorruptError{Path: path, Moved: path, Cause: cause}, err)
		}
		o.Logger.Error("the journal is corrupt and was moved aside", "path", path, "moved", moved, "err", cause)
		if o.OnCorrupt != OnCorruptRecreate {
			return nil, &CorruptError{Path: path, Moved: moved, Cause: cause}
		}
	}
	db, err := openBolt(path)
	if err != nil {
		return nil, err
	}
	if err := prepare(db); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrUnwritable, err), db.Close())
	}
	return db, nil
}

// unconfirmed refuses to begin a new journal beside a corrupt one that nobody has looked at.
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

// moveAside gives the file a name that tells when it was found corrupt.
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

// check reads the whole file. Its error is an ErrLocked, an error of the system, or the reason
// why the file cannot be trusted.
func check(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := openBolt(path)
	if err != nil {
		return err
	}
	if err := guarded(func() error { return db.View(checkTx) }); err != nil {
		return errors.Join(err, db.Close())
	}
	return db.Close()
}

func checkTx(t *bolt.Tx) error {
	records, state := t.Bucket(bucketRecords), t.Bucket(bucketState)
	if records == nil && state == nil {
		k, _ := t.Cursor().First()
		if k == nil {
			return nil // begun and never used
		}
	}
	if records == nil || state == nil {
		return errors.New("it holds no records: this is a file of another program")
	}
	last := ""
	err := records.ForEach(func(k, v []byte) error {
		if string(k) <= last || !intact(string(k), v) {
			return fmt.Errorf("%q: %w", k, errDamaged)
		}
		last = string(k)
		return nil
	})
	if err != nil {
		return err
	}
	if err := state.ForEach(func([]byte, []byte) error { return nil }); err != nil {
		return err
	}
	if t.Size() > maxFullCheck {
		return nil
	}
	var first error
	for err := range t.Check() {
		if first == nil {
			first = err
		}
	}
	return first
}

// openBolt opens the file for writing, with a message that says what to do.
func openBolt(path string) (*bolt.DB, error) {
	var (
		db     *bolt.DB
		opened *os.File
	)
	opts := boltOptions(false)
	opts.OpenFile = func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
		opened, err = openFile(name, flag, mode)
		return opened, err
	}
	err := guarded(func() (err error) {
		db, err = bolt.Open(path, 0o600, opts)
		return err
	})
	switch {
	case err == nil:
		db.AllocSize = allocBytes
		return db, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: another spillway_exporter holds %s: stop that one, or write another folder as journal: {dir: ...} for this one", ErrLocked, path)
	}
	if opened != nil {
		opened.Close() // bbolt closes it unless it panicked; a second close does no harm
	}
	return nil, fmt.Errorf("open %s: %w", path, err)
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
	err := db.View(func(t *bolt.Tx) error {
		missing = t.Bucket(bucketRecords) == nil || t.Bucket(bucketState) == nil
		return nil
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
