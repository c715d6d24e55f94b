// Package convert writes policies for what other programs clean up: systemd-tmpfiles and logrotate. A line that
// cannot be said as a policy becomes a comment with the reason, so that nothing is lost unseen, and a policy
// never takes a file that the other program would leave.
package convert
