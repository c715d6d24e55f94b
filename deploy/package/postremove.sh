#!/bin/sh
# After removal. The journal is a record of what was done on this host: only a purge takes it. The
# user stays, since files may belong to it.
set -e
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
if [ "$1" = purge ]; then
    rm -rf /var/lib/spillway
fi
