#!/bin/sh
# Before removal, Debian ("remove") and RPM (0); not before an upgrade.
set -e
case "$1" in
    remove | 0) ;;
    *) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
    systemctl disable --now spillway_exporter.service || true
fi
