#!/bin/bash
# Removes one tree alongside rm -rf and find -delete, in turns, in memory, and prints medians, the medians of the
# ratios of each turn, and how much memory a removal takes beyond a scan.
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
	measure scan "$work/remove" scan "$work/tree"
	measure ours-plain "$work/remove" tree-plain "$work/tree" "$files"
	measure ours "$work/remove" tree "$work/tree" "$files"
done

median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
times() { awk -v what="$2" '{ print 1000 * (what == "wall" ? $1 : $2 + $3) }' "$work/$1"; } # NAME wall|cpu, in milliseconds
echo "one tree of $files files in $((files / 100)) folders, medians of $turns turns in milliseconds"
printf '%-14s %8s %8s\n' '' wall cpu
for name in rm find scan ours-plain ours; do
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
echo "scan: $(cat "$work/scan.out")"
echo "tree: $(cat "$work/ours.out")"
