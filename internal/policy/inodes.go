package policy

import "github.com/spillway-exporter/spillway_exporter/internal/dirscan"

// Inode names a file, whatever names it has.
type Inode struct {
	DevMajor, DevMinor uint32
	Ino                uint64
}

// InodeOf returns the file that an entry is a name of.
func InodeOf(e *dirscan.Entry) Inode { return Inode{e.DevMajor, e.DevMinor, e.Ino} }

// maxInodes bounds how many files with several names are remembered at once. What does not fit counts once for
// each of its names.
const maxInodes = 1 << 15

// Inodes recognises the first name of a file among all of them, so that a file counts once towards a size. The zero
// value has seen nothing.
type Inodes struct{ left map[Inode]uint32 }

// First reports whether an entry is the first name of its file.
func (s *Inodes) First(e *dirscan.Entry) bool {
	if e.Nlink < 2 {
		return true
	}
	if left, seen := s.left[InodeOf(e)]; seen {
		if left <= 1 { // it has no more names
			delete(s.left, InodeOf(e))
		} else {
			s.left[InodeOf(e)] = left - 1
		}
		return false
	}
	if s.left == nil {
		s.left = make(map[Inode]uint32)
	}
	if len(s.left) < maxInodes {
		s.left[InodeOf(e)] = e.Nlink - 1
	}
	return true
}
