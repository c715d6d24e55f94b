package hostfs

import "path/filepath"

// Roots are the mount points of the host's file systems.
type Roots struct {
	ProcFS string // of procfs, such as /proc
	SysFS  string // of sysfs, such as /sys
	RootFS string // of the host's root; "" and "/" mean that it is the root of this process too
}

// Join returns the path at which this process finds a directory of the host.
func (r Roots) Join(dir string) string {
	if r.RootFS == "" || r.RootFS == "/" {
		return dir
	}
	return filepath.Join(r.RootFS, dir)
}
