// Package cgroup finds the folders of cgroups in the hierarchies that are mounted below sysfs, seen
// from the host and from inside a container.
//
// The kernel shows paths, in /proc/PID/cgroup and as the roots of mounts, relative to the cgroup
// namespace of the reader (cgroup_namespaces(7)). On the host they begin at the top. In a container
// the cgroup of the container itself is "/" and that of another one begins with "/..": it says how
// many levels to go up, and not from where. A Tree finds the place where its own namespace begins in
// the host's hierarchy, once, and from then on a path means the same inside as on the host.
//
// It only reads, and no more than a bounded part of a hierarchy.
package cgroup
