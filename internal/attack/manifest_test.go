//go:build attack

package attack

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// stageManifest is what must be there after an attack, by path: the same inode with the same content.
type stageManifest map[string]stageEntry

type stageEntry struct {
	dev, ino uint64
	uid      uint32
	size     int64
	sum      [sha256.Size]byte
}

// stageLook reads an entry. Of what is not a regular file only its identity is compared.
func stageLook(path string) (stageEntry, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return stageEntry{}, err
	}
	e := stageEntry{dev: st.Dev, ino: st.Ino, uid: st.Uid}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return e, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return e, err
	}
	defer f.Close()
	hash := sha256.New()
	e.size, err = io.Copy(hash, f)
	copy(e.sum[:], hash.Sum(nil))
	return e, err
}

// missing returns what is not as it was.
func (m stageManifest) missing() (out []string) {
	for path, want := range m {
		switch got, err := stageLook(path); {
		case err != nil:
			out = append(out, fmt.Sprintf("%s is gone: %v", path, err))
		case got != want:
			out = append(out, fmt.Sprintf("%s is not as it was: %d bytes of inode %d, were %d of inode %d", path, got.size, got.ino, want.size, want.ino))
		}
	}
	slices.Sort(out)
	return out
}

// must puts what lies at the paths into the manifest.
func (s *stage) must(paths ...string) {
	s.t.Helper()
	for _, path := range paths {
		e, err := stageLook(path)
		if err != nil {
			s.t.Fatal(err)
		}
		s.manifest[path] = e
	}
}

// folder makes a folder of a user, with those above it as root's.
func (s *stage) folder(path string, uid int) string {
	s.t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chown(path, uid, uid); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// write makes a file that only its user can read.
func (s *stage) write(path, text string, uid int) {
	s.t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err == nil {
		err = os.Chown(path, uid, uid)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// fill makes n files of a user that are an hour old: f0, f1 and so on with the extension .tmp.
func (s *stage) fill(dir string, n, uid int) {
	s.t.Helper()
	if err := stageFill(dir, n, uid); err != nil {
		s.t.Fatal(err)
	}
}

func stageFill(dir string, n, uid int) error {
	for i := range n {
		if err := stageAged(fmt.Sprintf("%s/f%d.tmp", dir, i), uid); err != nil {
			return err
		}
	}
	return nil
}

// stageAged makes a small file that is an hour old, or makes one so that is there.
func stageAged(path string, uid int) error { return stageMake(path, uid, 0) }

func stageMake(path string, uid, flags int) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC|flags, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte("content")); err != nil {
		return err
	}
	if uid >= 0 {
		if err := unix.Fchown(fd, uid, uid); err != nil {
			return err
		}
	}
	at := unix.NsecToTimeval(time.Now().Add(-time.Hour).UnixNano())
	return unix.Futimes(fd, []unix.Timeval{at, at})
}

// stageCount counts the names in a folder.
func stageCount(dir string) int {
	f, err := os.Open(dir)
	if err != nil {
		return 0
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	return len(names)
}
