#!/bin/bash
# Removes one tree alongside rm -rf, find -delete and the least that it can cost (a loop in C), in turns, in memory,
# and prints medians, the medians of the ratios of each turn, and how much memory a removal takes beyond a scan.
# With CALLS=1 the system calls of one more turn are counted, where strace is installed.
#
#   examples/bench/remove/tree.sh [files] [turns]
#
# The tree is made below $TMPDIR, or /dev/shm where that is not set, and removed at the end.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
files=${1:-1000000}
turns=${2:-5}
work=$(mktemp -d "${TMPDIR:-/dev/shm}/spillway-tree.XXXXXX")
trap 'rm -rf "$work"' EXIT
cc -O2 -o "$work/treefloor" "$here/treefloor.c"
(cd "$here/../../.." && go build -o "$work/remove" ./examples/bench/remove)
TIMEFORMAT='%R %U %S'

measure() { # NAME COMMAND...: one turn on a fresh tree
	local name=$1
	shift
	rm -rf "$work/tree"
	"$work/remove" make-tree "$work/tree" "$files"
	{ time "$@" >"$work/$name.out"; } 2>>"$work/$name"
	if [ "$name" != scan ] && [ -e "$work/tree/job" ]; then
		echo "$name left the tree" >&2
		exit 1
	fi
}

for _ in $(seq "$turns"); do
	measure rm rm -rf "$work/tree/job"
	measure find find "$work/tree/job" -delete
	measure floor-plain "$work/treefloor" plain "$work/tree/job"
	measure floor "$work/treefloor" lease "$work/tree/job"
	measure scan "$work/remove" scan "$work/tree"
	measure ours-plain "$work/remove" tree-plain "$work/tree" "$files"
	measure ours "$work/remove" tree "$work/tree" "$files"
done

median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
times() { awk -v what="$2" '{ print 1000 * (what == "wall" ? $1 : $2 + $3) }' "$work/$1"; } # NAME wall|cpu, in milliseconds
echo "one tree of $files files in $((files / 100)) folders, medians of $turns turns in milliseconds"
printf '%-14s %8s %8s\n' '' wall cpu
for name in rm find floor-plain floor scan ours-plain ours; do
	printf '%-14s %8.0f %8.0f\n' "$name" "$(times $name wall | median)" "$(times $name cpu | median)"
done
ratio() { # TEXT A B WHAT GOAL: the median of the turns' ratios
	printf '%-52s %-4s %.2f  (goal %s)\n' "$1" "$4" "$(paste <(times "$2" "$4") <(times "$3" "$4") | awk '{ print $1 / $2 }' | median)" "$5"
}
ratio 'a tree, without the in-use check / rm -rf' ours-plain rm cpu '<= 1.3'
ratio 'a tree, without the in-use check / rm -rf' ours-plain rm wall '<= 1.0'
ratio 'a tree, with every check / rm -rf' ours rm cpu '<= 2'
ratio 'a tree, with every check / rm -rf' ours rm wall '-'
ratio 'find -delete / rm -rf' find rm cpu '-'
ratio 'the floor, without the in-use check / rm -rf' floor-plain rm cpu '-'
ratio 'the floor, with a lease on each file / rm -rf' floor rm cpu '-'
ratio 'a tree, without the in-use check / its floor' ours-plain floor-plain cpu '-'
ratio 'a tree, with every check / its floor' ours floor cpu '-'
echo "scan: $(cat "$work/scan.out")"
echo "tree: $(cat "$work/ours.out")"

calls() { # NAME COMMAND...
	local name=$1
	shift
	"$work/remove" make-tree "$work/tree" "$files"
	strace -f -c -U calls,name -o "$work/calls" "$@" >/dev/null
	awk -v n="$name" -v f="$files" '$1 ~ /^[0-9]+$/ && $1 >= f / 200 && $2 != "total" && $2 !~ /futex|nanosleep|epoll|yield/ { t = t sprintf("  %s %.2f", $2, $1 / f) } END { printf "%-14s%s\n", n, t }' "$work/calls"
	rm -rf "$work/tree"
}
if [ -n "${CALLS:-}" ] && command -v strace >/dev/null; then
	echo "system calls for each file"
	calls rm rm -rf "$work/tree/job"
	calls floor-plain "$work/treefloor" plain "$work/tree/job"
	calls ours-plain "$work/remove" tree-plain "$work/tree" "$files"
	calls floor "$work/treefloor" lease "$work/tree/job"
	calls ours "$work/remove" tree "$work/tree" "$files"
fi
