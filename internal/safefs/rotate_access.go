package safefs

import (
	"bytes"
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// aclAccess is the attribute that holds the POSIX access list of a file (acl(5)). Where there is
// one, the group bits of the mode are its mask and not what the group may do.
const aclAccess = "system.posix_acl_access"

// keepAccess gives a copy, which only its owner may open yet, the attributes, the access list and
// the mode of its source. It never opens the copy to anybody who may not open the source: where
// the list cannot be set, or one that the folder hands down cannot be taken away, the copy stays
// its owner's (private).
func keepAccess(dst, src int, mode uint32) (private bool, err error) {
	keepAttributes(dst, src)
	list, err := getAttribute(src, aclAccess)
	switch {
	case err == nil:
		err = unix.Fsetxattr(dst, aclAccess, list, 0)
	case noAttribute(err):
		if err = unix.Fremovexattr(dst, aclAccess); noAttribute(err) {
			err = nil
		}
	}
	if err != nil {
		return true, unix.Fchmod(dst, mode&0o700)
	}
	return false, unix.Fchmod(dst, mode)
}

// keepAttributes copies what programs and the security module have written to a file, as far as
// that is permitted.
func keepAttributes(dst, src int) {
	n, err := unix.Flistxattr(src, nil)
	if err != nil || n == 0 {
		return
	}
	names := make([]byte, n)
	if n, err = unix.Flistxattr(src, names); err != nil {
		return
	}
	for name := range bytes.SplitSeq(names[:n], []byte{0}) {
		if key := string(name); strings.HasPrefix(key, "user.") || key == "security.selinux" {
			if value, err := getAttribute(src, key); err == nil {
				_ = unix.Fsetxattr(dst, key, value, 0) // not permitted: the copy does without
			}
		}
	}
}

func getAttribute(fd int, name string) ([]byte, error) {
	for {
		n, err := unix.Fgetxattr(fd, name, nil)
		if err != nil {
			return nil, err
		}
		value := make([]byte, n)
		if n, err = unix.Fgetxattr(fd, name, value); errors.Is(err, unix.ERANGE) {
			continue // it has grown
		}
		return value[:max(n, 0)], err
	}
}

func noAttribute(err error) bool {
	return errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP)
}
