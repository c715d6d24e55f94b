#!/usr/bin/env bash
# The exporter next to prometheus-process-exporter (where it is installed) on the same herds of
# processes in 20 groups: time of a scrape, processor time, resident memory, system calls to /proc
# during a scrape, and what a large process feels of it.
#
#   examples/bench/processes/processes.sh [counts, default "100 1000 5000"]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
counts=${1:-100 1000 5000}
groups=20
scrapes=21
cd "$here/../../.."
make -s build
work=$(mktemp -d "${TMPDIR:-/tmp}/spillway-processes.XXXXXX")
pids=()
end() { for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; wait "$p" 2>/dev/null || true; done; pids=(); }
trap 'end; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
cc -O2 -o "$work/herd" "$here/herd.c"
cc -O2 -o "$work/stall" "$here/stall.c"
peer=$(command -v prometheus-process-exporter || true)

herd() { # COUNT
  "$work/herd" "$1" "$groups" >"$work/herd.out" &
  pids+=($!)
  until grep -q ready "$work/herd.out"; do sleep 0.1; done
  sleep 35 # the names of young processes are read again until they are 30 s old
}
ours() { # CONFIG-FILE; sets pid and url
  rm -rf "$work/journal"
  ./spillway_exporter --config.file="$1" --web.listen-address=127.0.0.1:0 2>"$work/ours.log" &
  pid=$!
  pids+=("$pid")
  until url=$(grep -o 'msg="Listening on" address=[0-9.:]*' "$work/ours.log" | cut -d= -f3) && [ -n "$url" ] &&
    curl -fsS -o /dev/null "http://$url/-/ready" 2>/dev/null; do sleep 0.1; done
}
theirs() { # CONFIG-FILE
  url=127.0.0.1:19256
  "$peer" -config.path "$1" -web.listen-address "$url" >"$work/theirs.log" 2>&1 &
  pid=$!
  pids+=("$pid")
  until curl -fsS -o /dev/null "http://$url/metrics" 2>/dev/null; do sleep 0.1; done
}
cpu() { awk -v hz="$(getconf CLK_TCK)" '{ printf "%.0f", 1000 * ($14 + $15) / hz }' "/proc/$pid/stat"; } # milliseconds
rss() { awk '/VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$pid/status"; }                                # MiB
scrape() {                                                                                                # milliseconds, median
  for _ in $(seq "$scrapes"); do curl -fsS -o /dev/null -w '%{time_total}\n' "http://$url/metrics"; done |
    sort -n | awk '{ v[NR] = $1 } END { printf "%.1f", 1000 * v[int((NR + 1) / 2)] }'
}
targets() { # HOW-MANY
  printf 'sample_interval: 1s\njournal: {dir: %s/journal}\ntargets:\n' "$work"
  for g in $(seq 0 $(($1 - 1))); do printf '  - {name: g%02d, processes: {match: {comm: spw-%02d}}}\n' "$g" "$g"; done
}
targets "$groups" >"$work/all.yml"
targets 1 >"$work/one.yml"
sed 's/sample_interval: 1s/sample_interval: 5m/' "$work/all.yml" >"$work/still.yml"
{
  echo 'process_names:'
  echo '  - {name: "{{.Comm}}", comm: ['"$(seq -f 'spw-%02.0f' -s ', ' 0 $((groups - 1)))"']}'
} >"$work/peer.yml"

row='%-10s %-28s %12s %16s %10s\n'
# shellcheck disable=SC2059
printf "$row" processes exporter 'scrape, ms' 'CPU, ms in 15 s' 'RSS, MiB'
for n in $counts; do
  herd "$n"
  for config in all one; do
    ours "$work/$config.yml"
    sleep 5
    a=$(cpu); sleep 15; b=$(cpu)
    tracked=$n; [ "$config" = one ] && tracked=$((n / groups))
    # shellcheck disable=SC2059
    printf "$row" "$n" "spillway, 1 s, $tracked tracked" "$(scrape)" $((b - a)) "$(rss)"
    kill "$pid"; wait "$pid" 2>/dev/null || true
  done
  if [ -n "$peer" ]; then
    theirs "$work/peer.yml"
    a=$(cpu); curl -fsS -o /dev/null "http://$url/metrics"; b=$(cpu)
    # shellcheck disable=SC2059
    printf "$row" "$n" 'process-exporter, one scrape' "$(scrape)" $((b - a)) "$(rss)"
  fi
  end
done

echo
echo 'system calls during three scrapes:'
herd 100
ours "$work/still.yml"
sleep 2
strace -f -y -qq -e trace=openat,open,openat2,read,pread64,getdents64,newfstatat,statx,readlinkat,readlink -o "$work/strace" -p "$pid" &
tracer=$!
sleep 1
for _ in 1 2 3; do curl -fsS -o /dev/null "http://$url/metrics"; done
sleep 0.5
kill "$tracer"; wait "$tracer" 2>/dev/null || true
echo "  $(grep -c . "$work/strace" || true) calls seen, $(grep -oE '/proc/[0-9]+' "$work/strace" | grep -cv "^/proc/$pid\$" || true) of them to /proc/PID of another process"
end

echo
echo 'mapping and unmapping in a process of 4 GiB for 20 s, microseconds:'
printf '%-40s %8s %8s %8s\n' '' median p99.9 max
stall() { # TEXT
  # shellcheck disable=SC2046
  printf '%-40s %8s %8s %8s\n' "$1" $(cat "$work/stall.out")
}
"$work/stall" 4096 20 >"$work/stall.out"; stall 'alone'
cat >"$work/stall.yml" <<EOF
journal: {dir: $work/journal}
targets: [{name: big, processes: {match: {comm: spw-stall}}, memory: {limit: 8GiB}}]
EOF
ours "$work/stall.yml"
"$work/stall" 4096 20 >"$work/stall.out"; stall 'spillway, default settings'
end
if [ -n "$peer" ]; then
  echo 'process_names: [{name: big, comm: [spw-stall]}]' >"$work/peer.yml"
  theirs "$work/peer.yml"
  "$work/stall" 4096 20 >"$work/stall.out" &
  pids+=($!)
  for _ in 1 2 3 4; do sleep 5; curl -fsS -o /dev/null "http://$url/metrics"; done
  wait "${pids[-1]}"; stall 'process-exporter, a scrape every 5 s'
fi
