// Package container says which container and pod a process is in, and what they are called, from what
// lies on the disk: no engine and no API server is asked.
//
// The cgroup path holds the id. The kubelet's links in /var/log/containers and folders in /var/log/pods
// give namespace, pod and container to it; the state folders of Docker, Podman, CRI-O and containerd the
// name and the image. Each container is looked up once; what was not found is looked for again at
// growing intervals. These files belong to others: at most one MiB is read of each, of a user's own
// store no link is followed, and one that cannot be understood is as good as absent, with one warning.
//
// It only reads.
package container
