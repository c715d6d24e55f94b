// Package inside opens folders of a target that this host has under another name, or under none: as the
// target's own process sees them, in its container or its private mount namespace, and as the volume of
// its pod.
//
// What is opened is a descriptor, never a name, since the name leads elsewhere a moment later: through
// /proc/PID/root of a process that is verified afterwards, from there component by component, and
// through no link. A folder of this host that no clean-up may touch is refused by what it is, whatever
// it is called there.
//
// The process may have made its mounts itself, in a user namespace. Then the folder, and each file in
// it that goes, must belong to a user of that namespace, so that no one can have files cleaned that are
// not theirs by showing them under another name.
package inside
