package setup

import (
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/inside"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// Inside returns what finds the folders of a target that are named as the target has them: for a policy
// what opens its folder, nil where that has a path on this host. scans says that it is only read.
func Inside(target string, cfg *config.Config, host hostfs.Roots, tracker *proc.Tracker, scans bool) func(*policy.Common) func() (dirscan.Opened, error) {
	return inside.New(inside.Options{
		Target: target, Procfs: host.ProcFS, RootFS: host.RootFS, Reserved: cfg.Journal.Dirs(),
		Members: MembersOf(tracker, target), PodUID: podOf(tracker, target), Once: scans,
	}).Opener
}

// podOf returns the uid of the pod that a target runs in, and whether the target runs at all. A cgroup
// below a user's slice is the user's to name: what it says of a pod is not taken for one of the kubelet's.
func podOf(tracker *proc.Tracker, target string) func() (uid string, running bool) {
	return func() (string, bool) {
		u, err := tracker.Usage(target)
		if err != nil || u.Processes == 0 {
			return "", false
		}
		if c := u.Container; c != nil && c.UID == 0 {
			return c.PodUID, true
		}
		return "", true
	}
}

// IsForeign reports whether a target has folders that only it has under their names.
func IsForeign(t *config.Target) bool {
	for _, k := range policy.Kinds {
		for _, p := range t.Of(k.Name) {
			if p.CommonKeys().Foreign() {
				return true
			}
		}
	}
	return false
}
