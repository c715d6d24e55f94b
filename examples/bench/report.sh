#!/usr/bin/env bash
# Runs all benchmarks and writes docs/benchmarks.md from what they print. About 20 minutes on two
# cores; peers that are not installed are left out.
#
#   examples/bench/report.sh [section ...]     prints only these sections, writes nothing
set -euo pipefail
cd "$(dirname "$0")/../.."
make -s build

# section NAME TITLE TEXT COMMAND [FILTER]: runs the command as it is printed.
only=("$@")
section() {
  local name=$1 title=$2 text=$3 command=$4 filter=${5:-cat}
  if [ ${#only[@]} -gt 0 ] && [[ ! " ${only[*]} " == *" $name "* ]]; then return; fi
  echo "== $name" >&2
  printf '\n## %s\n\n%s\n\n```console\n$ %s\n' "$title" "$text" "$command"
  bash -c "$command" 2>"$log" | eval "$filter" | sed 's/[[:space:]]*$//' || { cat "$log" >&2; exit 1; }
  printf '```\n'
}
# kept TITLE: a section that is not measured here, as it stands.
kept() {
  if [ ${#only[@]} -gt 0 ]; then return; fi
  printf '\n'
  awk -v title="## $1" '/^## / { on = $0 == title } on' docs/benchmarks.md | sed '${/^$/d}'
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
bench() { # keep the result lines of go test, without the machine
  grep -E '^(Benchmark|---|FAIL|goos)' | grep -v goos | sed -E 's/^Benchmark//'
}

report() {
  cat <<EOF
# Benchmarks

Measured at commit \`$(git rev-parse --short HEAD)\` with $(go version | awk '{ print $3 }') on Linux $(uname -r | cut -d- -f1), $(nproc) cores ($(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)),
a shared machine. Read the ratios, which come from one run on both sides; absolute times vary with the machine. All of this file:
\`examples/bench/report.sh\`; one section: its own command, or \`examples/bench/report.sh NAME\`.
No test fails for being slow.
EOF
  section scrape 'A scrape' \
    'Reading the store and gathering the registry, by the number of series. Processes and files do not matter: nothing is read from the system.' \
    "go test -run '^\$' -bench Scrape -count 3 ./collector" bench
  section tick 'Memory of one process in a tick' \
    'The held `statm` of 500 sleeping processes, alongside the least that a loop in C takes for the same. The goal is 3.5 µs and no allocation.' \
    'examples/bench/tick/run && go test -run "^$" -bench "^BenchmarkTick$" ./internal/proc' 'grep -vE "^(goos|goarch|pkg|cpu|PASS|ok)"'
  section processes 'Hosts with many processes' \
    'Idle processes in 20 groups, sampled every second, with the evaluator on, alongside Debian'"'"'s prometheus-process-exporter, whose work is in its scrape. Goals: a scrape of 3 ms; at 5,000 processes 450 ms of processor time in 15 s with all tracked, 60 ms with 250, 28 MiB; no system call to another process in a scrape; no stall above 1 ms for a process of 4 GiB.' \
    'examples/bench/processes/processes.sh'
  section reaction 'A service that grows' \
    'In a cgroup with a limit of 400 MiB, from 85 % of it to the first effect: the exporter with its defaults POSTs to the service, which drops its ballast. A service is saved when it lives on; one that is killed loses all that it held. Goals: 20 of 20 at 5 to 100 MiB/s, p99 of 250 ms.' \
    'examples/bench/reaction/reaction.sh 20'
  kept 'A service that grows, on cgroup version 2' # of make vm-test
  section idle 'The idle exporter' \
    'After five minutes with `discover` of 20 groups, the evaluator on, and a scrape every 15 s.' \
    'examples/bench/idle/idle.sh 300'
  section scan100k 'Scan of 100,000 files' \
    'One pass gives count, bytes, blocks, empty files, oldest and newest. The floor is a loop of getdents64 and statx in C. ours-two: two walkers. no-openat2, no-statx: the calls are refused, as on older kernels ([what stands in](install.md#older-kernels-and-filters)). find and bfs run `-type f -size +1000000G`, which stats each file and prints nothing.' \
    'examples/bench/scan/scan.sh 100000'
  section scanfolders 'Scan of 50,000 folders' \
    'Two files in each: what a step into a folder costs, which is where openat2 is missed most.' \
    'examples/bench/scan/scan.sh 100000 9 50000'
  section scan1m 'Scan of 1,000,000 files' \
    'Goals: processor time at most 1.08 times the floor, wall time with two walkers at most 0.8 times, memory within 1 MiB.' \
    'examples/bench/scan/scan.sh 1000000 5'
  kept 'What a scan costs over the floor'
  section remove 'Removing 100,000 files, evicting 30 % of 100,000' \
    'On tmpfs. A clean-up checks each file (type, links, age, lease against users, identity) before it removes it; an eviction finds the exact least recently used 30 % first. find is given the same age. Without the in-use check a removal looks at each file once, as find does, and after each 32 files at where their folder lies; with it a file is opened, looked at again under a lease, and closed. Goals: 1.15 and 2 times find -delete.' \
    'examples/bench/remove/remove.sh 100000'
  section evict1m 'Evicting 30 % of 1,000,000 files' \
    'Goal: 2.2 scans on top of what the removals themselves cost, and 1 MiB above a scan.' \
    'examples/bench/remove/remove.sh 1000000 3'
  section tree 'Removing a tree of 1,000,000 files' \
    'In folders of 100, on tmpfs, as one: looked at, moved aside, looked at again and removed by two workers. Goals: wall time at most that of rm -rf without the in-use check, memory within 2 MB of a scan, processor time close to the floor: `treefloor.c`, one thread of C that keeps nothing, handles no error and makes only the calls for each file that cannot be left out.' \
    'examples/bench/remove/tree.sh 1000000 3'
  kept 'What a removal of a tree cannot leave out'
  kept 'Simulated days'
  kept 'Under attack'
  section firstuser 'The first service' \
    'A cache of 1,000 entries and 1 GB of which 30 % are evicted, and a folder with 592 empty files. Goals: scan 3 ms, eviction 20 ms.' \
    "go test -run '^\$' -bench FirstUser -count 3 ./internal/action" bench
  section hits 'Inferring hits' \
    'What the watch of a cache counted alongside what was really done, and the processor time of the watch. Goals: no error for readers one after the other at 10,000 opens a second, half a point with 64 alongside each other, 2 % of a core. Where the kernel drops events the interval is left out, so the counts are lower and the ratio stays right.' \
    'examples/bench/hits/hits.sh'
  section heap 'Heap of a runtime' \
    'One reading: of Node.js over the session that is held, over one that is opened for each sample, and through the preload script (goal: p99 of 2 ms, 1 ms of processor time of the exporter); of a Java virtual machine (goal: p99 of 0.5 ms); of a Go program. Then the latency of a Node.js target of its own while its heap is read never, each second and ten times a second, in turns.' \
    "go test -run '^\$' -bench 'NodeRead|AgentRead|JVMRead|PprofRead|NodeTargetLatency' ./internal/heap" bench
  kept 'Evidence'
  section start 'Start' \
    'The commands, and serve to the end of its first scrape, with 1,000 processes on the host. Goal for serve: 100 ms. What a command does not use is not opened.' \
    'examples/bench/start/start.sh' 'sed s/^Benchmark//'
  section rules '40 rules over 500 series' \
    'One evaluation of the embedded evaluator. Goal: 10 ms.' \
    "go test -run '^\$' -bench 'Evaluate40Rules|Gather' -count 3 ./internal/eval" bench
  section page 'The status page' \
    'The overview of 200 targets with every family of metrics, and the page of a target over 14 days of seven gauges, rendered. Goals: 30 ms and 250 KB; 50 ms.' \
    "go test -run '^\$' -bench 'Page200|Target14Days' -count 3 ./internal/web" bench
  kept 'A crossing, judged'
  section journal 'Journal and dispatch' \
    'Intents from 64 callers, each answered when it is synced; alerts that are accepted and journaled, and duplicates. Goals: 8,000 a second with a p99 of 15 ms, 15,000 duplicates.' \
    "go test -run '^\$' -bench 'Begin64|Submit' -count 3 ./internal/journal ./internal/dispatch" bench
  section webhook 'The webhook over HTTP' \
    'One exporter with 200 targets, 64 connections from the same machine.' \
    'examples/bench/webhook/webhook.sh' 'grep -vE "^(goos|goarch|pkg|cpu|PASS|ok)"'
}

if [ ${#only[@]} -gt 0 ]; then
  report
else
  report >docs/benchmarks.md.new
  mv docs/benchmarks.md.new docs/benchmarks.md
fi
