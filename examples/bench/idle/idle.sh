#!/usr/bin/env bash
# The resident memory and CPU of an idle exporter with discovery and the evaluator on.
# Usage: examples/bench/idle/idle.sh [seconds, default 300]
set -euo pipefail
cd "$(dirname "$0")/../../.."
seconds=${1:-300}
make -s build >/dev/null
dir=$(mktemp -d)
printf 'discover: {by: comm, top: 20}\njournal: {dir: %s/journal}\n' "$dir" >"$dir/spillway.yml"
./spillway_exporter --config.file="$dir/spillway.yml" --web.listen-address=127.0.0.1:0 2>"$dir/log" &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null || true; rm -rf "$dir"' EXIT
sleep 2
address=$(grep -o 'address=[0-9.:]*' "$dir/log" | head -n 1 | cut -d= -f2)
ticks() { awk '{print $14 + $15}' "/proc/$pid/stat"; }
before=$(ticks)
end=$((SECONDS + seconds))
while [ $SECONDS -lt $end ]; do
  curl -fsS -o /dev/null "http://$address/metrics" # a Prometheus every 15 s
  sleep 15
done
after=$(ticks)
awk '/VmRSS|VmHWM|RssAnon|RssFile/ {printf "%-8s %.1f MiB\n", $1, $2 / 1024}' "/proc/$pid/status"
echo "series   $(curl -fsS "http://$address/metrics" | grep -vc '^#')"
awk -v t=$((after - before)) -v s="$seconds" -v hz="$(getconf CLK_TCK)" 'BEGIN {printf "cpu      %.2f %% of one core\n", 100 * t / hz / s}'
