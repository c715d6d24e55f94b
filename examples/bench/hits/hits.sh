#!/usr/bin/env bash
# The inferred hit rate next to what was really done: one reader at 10,000 opens a second, then 64
# readers next to each other at 10,000 and as fast as they can. A tenth of the opens are fills.
#
#   examples/bench/hits/hits.sh [seconds, default 10]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
seconds=${1:-10}
work=$(mktemp -d "${TMPDIR:-/dev/shm}/spillway-hits.XXXXXX")
trap 'rm -rf "$work"' EXIT
(cd "$here/../../.." && go build -o "$work/hits" ./examples/bench/hits)
printf '%-28s %10s %10s %10s %10s %9s %12s\n' '' opens inferred fills inferred overflows 'points off'
run() { # NAME READERS RATE
  rm -rf "$work/cache"; mkdir "$work/cache"
  (cd "$work/cache" && seq 0 999 | xargs touch)
  mkfifo "$work/in"
  "$work/hits" watch "$work/cache" <"$work/in" >"$work/out" &
  local pid=$!
  exec 3>"$work/in"
  until grep -q ready "$work/out"; do sleep 0.05; done
  "$work/hits" load "$work/cache" 1000 "$2" "$3" "$seconds" >"$work/done"
  exec 3>&-
  wait "$pid"
  rm "$work/in"
  echo "$(cat "$work/done") $(tail -n 1 "$work/out")" | awk -v n="$1" '{
    was = 100 * $1 / ($1 + $2); seen = 100 * $3 / ($3 + $4); off = seen - was
    printf "%-28s %10d %10d %10d %10d %9d %12.3f   %.1f %% of a core\n", n, $1, $3, $2, $4, $5, off < 0 ? -off : off, $6 }'
}
run '1 reader, 10,000 a second' 1 10000
run '64 readers, 10,000 a second' 64 10000
run '64 readers, as fast as it goes' 64 0
