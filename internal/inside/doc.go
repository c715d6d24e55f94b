// Package inside opens folders of a target that this host has under another name, or under none: as the
// target's own process sees them, in its container or its private mount namespace, and as the volume of
// its pod.
//
// What is opened is a descriptor, never a name, since the name leads elsewhere a moment later: through
// /proc/PID/root of a process that is made sure of afterwards, from there component by component, and
// through no link. The process may have made its mounts itself, in a user namespace: then the folder must
// belong to a user that this namespace has, so that nobody can have a folder cleaned that is not theirs
// by showing it under another name.
package inside
