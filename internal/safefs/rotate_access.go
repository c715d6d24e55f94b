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

// labels are the attributes by which a security module, or the server of a network file system, decides
// who may open a file (xattr(7), nfs4_acl(5)).
var labels = []string{"security.selinux", "security.SMACK64", "system.nfs4_acl"}

// keepAccess gives a copy, which only its owner may open yet, the attributes, the access list, the
// security label and the mode of its source. It never opens the copy to anybody who may not open the
// source: where the list or the label cannot be set, or one that the folder hands down cannot be taken
// away, the copy stays its owner's (private).
func keepAccess(dst, src int, mode uint32) (private bool, err error) {
	keepAttributes(dst, src)
	for _, name := range labels {
		if !keepLabel(dst, src, name) {
			return true, unix.Fchmod(dst, mode&0o700)
		}
	}
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

// keepLabel reports whether a copy has the label of its source in the end.
func keepLabel(dst, src int, name string) bool {
	label, err := getAttribute(src, name)
	if err != nil {
		return noAttribute(err)
	}
	if has, err := getAttribute(dst, name); err == nil && bytes.Equal(has, label) {
		return true // as a rule the folder hands it down
	}
	return unix.Fsetxattr(dst, name, label, 0) == nil
}

// keepAttributes copies what programs have written to a file, as far as that is permitted.
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
		if key := string(name); strings.HasPrefix(key, "user.") {
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
	return errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS)
}
