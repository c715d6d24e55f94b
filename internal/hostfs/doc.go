// Package hostfs says where the file systems of the host are mounted: at their usual places, or
// elsewhere when the exporter runs in a container. The configuration always has the paths of the
// host, and Roots.Join turns one of those into the path that this process opens.
package hostfs
