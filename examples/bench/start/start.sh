#!/usr/bin/env bash
# How long the commands take and how much memory, with 1,000 sleeping processes on the host, and how
# long serve takes to its first scrape. Run it from anywhere after make build.
set -euo pipefail
cd "$(dirname "$0")/../../.."
[ -x ./spillway_exporter ] || { echo "run make build first" >&2; exit 1; }
SPILLWAY=$PWD/spillway_exporter PROCESSES=${PROCESSES:-1000} go test ./examples/bench/start -run '^$' -bench . -benchtime "${BENCHTIME:-20x}" | grep -E '^(Benchmark|---|panic)'
