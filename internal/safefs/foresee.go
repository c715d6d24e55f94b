package safefs

import "golang.org/x/sys/unix"

// foresee returns what the kernel would say to the removal of the file that was just looked at
// from its folder (unlink(2)), so that a dry run names no file that a run could not remove.
func (r *Remover) foresee(dirfd int) Reason {
	uid := r.st.Uid
	var dir unix.Statx_t
	if err := unix.Statx(dirfd, "", unix.AT_EMPTY_PATH, unix.STATX_MODE|unix.STATX_UID, &dir); err != nil {
		return errorReason(err)
	}
	if dir.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0 {
		return errorReason(unix.EPERM)
	}
	if err := unix.Faccessat(dirfd, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return errorReason(err)
	}
	me := uint32(unix.Geteuid())
	if dir.Mode&unix.S_ISVTX != 0 && dir.Uid != me && uid != me && !r.mayOverrideOwner() {
		return errorReason(unix.EPERM)
	}
	if r.opts.Quarantine != "" {
		return r.foreseeMove()
	}
	return Removed
}

// mayOverrideOwner reports whether the sticky bit does not bind this process (CAP_FOWNER).
func (r *Remover) mayOverrideOwner() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_FOWNER) != 0
}
