#!/usr/bin/env bash
# How soon a growing service is relieved, in a cgroup of version 1 on this machine (as root), with 20
# runs at each rate. Where that cannot be, the test in the virtual machine has it:
# make vm-test RUN=TestReaction ROUNDS=20
# Usage: examples/bench/reaction/reaction.sh [rounds, default 20] [rates, default 5,20,100,400]
set -euo pipefail
cd "$(dirname "$0")/../../.."
make -s build >/dev/null
cgroup=/sys/fs/cgroup/memory/spillway-reaction
[ -e /sys/fs/cgroup/memory/cgroup.event_control ] || { echo "no cgroup version 1: use make vm-test" >&2; exit 1; }
dir=$(mktemp -d)
mkdir -p "$cgroup"
trap 'rm -rf "$dir"; echo 0 >"$cgroup/memory.force_empty" || true; rmdir "$cgroup"' EXIT
echo 400M >"$cgroup/memory.limit_in_bytes"
go build -o "$dir/reaction" ./examples/bench/reaction
"$dir/reaction" -dir "$dir" -cgroup "$cgroup" -rounds "${1:-20}" -rates "${2:-5,20,100,400}" -guards spillway
