#!/usr/bin/env bash
# Load on the webhook of a real exporter: 200 targets with 42 playbooks each, in mode dry_run, with
# a journal on disk. Run it from anywhere after make build. Prints the rates and the exporter's RSS.
# Each load has an exporter of its own: the runs that one asks for would slow the next.
set -euo pipefail
cd "$(dirname "$0")/../../.."
if [ $# -eq 0 ]; then
  for load in Distinct Duplicates Garbage; do "$0" $load; done
  exit
fi
[ -x ./spillway_exporter ] || { echo "run make build first" >&2; exit 1; }
dir=$(mktemp -d)
mkdir "$dir/files"
{
  echo "standalone: false"
  echo "scan_interval: 1h"
  echo "journal: {dir: $dir/journal}"
  echo "targets:"
  for t in $(seq 0 199); do
    mkdir "$dir/files/$t"
    echo "  - name: t$t"
    echo "    temp_dirs: [{name: tmp, dir: $dir/files/$t, include: ['*.tmp'], max_age: 1h}]"
    echo "    playbooks:"
    for p in $(seq 0 41); do echo "      p$p: [clean_temp]"; done
  done
} > "$dir/spillway.yml"
./spillway_exporter --config.file="$dir/spillway.yml" --web.listen-address=127.0.0.1:0 > "$dir/log" 2>&1 &
pid=$!
trap 'kill $pid; wait $pid || true; rm -rf "$dir"' EXIT
for _ in $(seq 100); do
  address=$(grep -o 'address=[0-9.]*:[0-9]*' "$dir/log" | head -1 | cut -d= -f2) && break
  kill -0 $pid || { cat "$dir/log"; exit 1; }
  sleep 0.1
done
rss() { awk '/^VmRSS/ {print "exporter RSS '"$1"':", $2, $3}' /proc/$pid/status; }
rss "before $1"
WEBHOOK_URL="http://$address/api/v1/webhook" go test ./examples/bench/webhook -run '^$' -bench "$1" -benchtime "${BENCHTIME:-8000x}" | grep -E '^(Benchmark|---|panic)' 
rss "after $1"
curl -sS -o /dev/null -w 'scrape afterwards: %{time_total} s\n' "http://$address/metrics"
