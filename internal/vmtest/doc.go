// Package vmtest boots a virtual machine and runs Go tests in it: what a folder, a container and a
// kernel with cgroup v1 cannot show of systemd, capabilities, cgroup v2 and packages. The host builds
// the image (see the script image) and a second disk with the package, the tests and the agent; the
// agent runs the tests and reports over a virtio serial port, one Message a line. Nothing of the
// exporter is imported: it is tested from outside, as it is shipped.
package vmtest
