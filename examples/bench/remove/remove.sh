#!/bin/bash
# Removes and evicts alongside find, in turns, on a tree in memory, and prints medians and ratios of
# wall and processor time.
#
#   examples/bench/remove/remove.sh [files] [turns]
#
# The tree is made below $TMPDIR, or /dev/shm where that is not set, and removed at the end.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
files=${1:-100000}
turns=${2:-7}
work=$(mktemp -d "${TMPDIR:-/dev/shm}/spillway-remove.XXXXXX")
trap 'rm -rf "$work"' EXIT
(cd "$here/../../.." && go build -o "$work/remove" ./examples/bench/remove)
TIMEFORMAT='%R %U %S'

# measure NAME EXPECTED-LEFT COMMAND...: one turn on a fresh tree; -1 leaves the tree as it was.
measure() {
	local name=$1 left=$2
	shift 2
	rm -rf "$work/tree"
	boundary=$("$work/remove" make "$work/tree" "$files")
	sleep 3 # no file that is due has been made this moment
	{ time "${@//@boundary@/@${boundary%?????????}.${boundary: -9}}" >"$work/$name.out"; } 2>>"$work/$name"
	local now
	now=$(find "$work/tree" -type f | wc -l)
	if [ "$now" -ne "$left" ]; then
		echo "$name left $now files, expected $left" >&2
		exit 1
	fi
}

keep=$((files - files * 3 / 10))
for _ in $(seq "$turns"); do
	measure find-delete 0 find "$work/tree" -type f -mmin +60 -delete
	measure ours-plain 0 "$work/remove" plain "$work/tree"
	measure ours-clean 0 "$work/remove" clean "$work/tree"
	measure scan "$files" "$work/remove" scan "$work/tree"
	measure find-evict "$keep" find "$work/tree" -type f ! -newermt @boundary@ -delete
	measure ours-evict "$keep" "$work/remove" evict "$work/tree" "$keep"
done

median() { # NAME wall|cpu, in milliseconds
	awk -v what="$2" '{ print 1000 * (what == "wall" ? $1 : $2 + $3) }' "$work/$1" | sort -n |
		awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
echo "$files files, medians of $turns turns in milliseconds"
printf '%-14s %8s %8s\n' '' wall cpu
for name in find-delete ours-plain ours-clean scan find-evict ours-evict; do
	printf '%-14s %8.0f %8.0f\n' "$name" "$(median $name wall)" "$(median $name cpu)"
done
echo "scan:  $(cat "$work/scan.out")"
echo "evict: $(cat "$work/ours-evict.out")"
paired() { # TEXT A B GOAL: the median of the turns' ratios
	for what in wall cpu; do
		printf '%-52s %-4s %.2f  (goal %s)\n' "$1" $what "$(paste "$work/$2" "$work/$3" |
			awk -v what=$what '{ print what == "wall" ? $1 / $4 : ($2 + $3) / ($5 + $6) }' | sort -n |
			awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }')" "$4"
	done
}
paired 'remove, without the in-use check / find -delete' ours-plain find-delete '<= 1.15'
paired 'remove, with every check / find -delete' ours-clean find-delete '<= 2'
paired 'evict 30 % / find -delete of the same files' ours-evict find-evict '-'
# What an eviction costs in addition to its removals: (evict - 30 % of a clean-up without its scan) / scan.
for what in wall cpu; do
	awk -v e="$(median ours-evict $what)" -v c="$(median ours-clean $what)" -v s="$(median scan $what)" -v w=$what \
		'BEGIN { printf "%-52s %-4s %.2f  (goal <= 2.2)\n", "evict 30 %, scans alongside its removals", w, (e - 0.3 * (c - s)) / s }'
done
