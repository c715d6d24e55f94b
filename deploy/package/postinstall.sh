#!/bin/sh
# After unpacking, Debian ("configure" [old version]) and RPM (number of versions installed).
# Nothing is started by a first installation: what is watched, and by whom, is a person's decision.
set -e

make_user() {
    getent passwd spillway >/dev/null && return
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers /usr/lib/sysusers.d/spillway.conf
    else
        getent group spillway >/dev/null || groupadd --system spillway
        useradd --system --gid spillway --home-dir /var/lib/spillway --no-create-home --shell /usr/sbin/nologin spillway
    fi
}

# A running exporter is exchanged only for one that accepts its configuration: an upgrade must not
# leave a host without relief.
restart() {
    systemctl is-active --quiet spillway_exporter.service || return 0
    code=0
    timeout 60 /usr/bin/spillway_exporter check --config.file=/etc/spillway/spillway.yml >/dev/null || code=$?
    if [ "$code" = 2 ]; then
        echo "spillway-exporter: the new version refuses /etc/spillway/spillway.yml (see above); the old one runs on until you fix the file and restart the service" >&2
        return 0
    fi
    systemctl restart spillway_exporter.service || echo "spillway-exporter: the service did not start again: systemctl status spillway_exporter" >&2
}

case "$1" in
    configure) upgrade=$2 ;;
    2) upgrade=yes ;;
    1) upgrade= ;;
    *) exit 0 ;; # abort-upgrade and the like
esac

make_user
install -d -o spillway -g spillway -m 0750 /var/lib/spillway
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    if [ -n "$upgrade" ]; then
        restart
    fi
fi
if [ -z "$upgrade" ]; then
    echo "spillway-exporter: edit /etc/spillway/spillway.yml, then: systemctl enable --now spillway_exporter"
fi
