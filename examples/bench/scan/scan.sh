#!/bin/bash
# Scans one tree with ours, with the least that it can cost (a loop in C), with find and with du,
# in turns, and prints medians and ratios of wall and processor time. find stats each file and prints
# nothing: no file has the size that it looks for.
#
#   examples/bench/scan/scan.sh [files] [turns] [folders]
#
# The tree has 1,000 folders by default (fewer below 1,000 files), is made below $TMPDIR, or /tmp where that
# is not set, and is removed at the end. bfs, tmpreaper and gdu join in where they are installed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
files=${1:-100000}
turns=${2:-9}
folders=${3:-$((files < 1000 ? files : 1000))}
work=$(mktemp -d "${TMPDIR:-/tmp}/spillway-scan.XXXXXX")
trap 'rm -rf "$work"' EXIT
cc -O2 -o "$work/floor" "$here/scanfloor.c"
(cd "$here/../../.." && go build -o "$work/scan" ./examples/bench/scan)

echo "making $files files in $folders folders" >&2
mkdir "$work/tree"
(cd "$work/tree" && seq -f '%04.0f' "$folders" | xargs mkdir &&
	seq "$files" | awk -v d="$folders" '{ printf "%04d/entry-%d.json\n", $1 % d + 1, $1 }' | xargs touch)

none=+1000000G
names=(ours ours-two ours-histogram ours-count no-openat2 no-statx floor find du)
command -v bfs >/dev/null && names+=(bfs)
command -v tmpreaper >/dev/null && names+=(tmpreaper)
command -v gdu >/dev/null && names+=(gdu)
run() { # NAME
	case $1 in
	ours) "$work/scan" "$work/tree" ;;
	ours-two) "$work/scan" -workers 2 "$work/tree" ;;
	ours-count) "$work/scan" -count "$work/tree" ;;
	ours-histogram) "$work/scan" -histogram "$work/tree" ;;
	no-openat2) "$work/scan" -without openat2:ENOSYS "$work/tree" ;;
	no-statx) "$work/scan" -without openat2:ENOSYS,statx:ENOSYS "$work/tree" ;;
	floor) "$work/floor" "$work/tree" ;;
	find) find "$work/tree" -type f -size "$none" ;;
	bfs) bfs "$work/tree" -type f -size "$none" ;;
	du) du -s "$work/tree" ;;
	tmpreaper) tmpreaper --test --runtime=0 1d "$work/tree" ;;
	gdu) gdu -npc "$work/tree" ;;
	esac
}
TIMEFORMAT='%R %U %S'
for name in "${names[@]}"; do # once to warm, and to see that it works
	run "$name" >"$work/$name.out" 2>"$work/$name.err"
done
if ! cmp -s "$work/ours.out" "$work/floor.out" || ! cmp -s "$work/ours-two.out" "$work/floor.out" || ! cmp -s "$work/no-openat2.out" "$work/floor.out" || ! cmp -s "$work/no-statx.out" "$work/floor.out" || [ "$(find "$work/tree" -type f -size "-$((1 << 30))" | wc -l)" != "$files" ]; then
	echo "the counts do not agree:" >&2
	cat "$work/ours.out" "$work/floor.out" >&2
	exit 1
fi
for _ in $(seq "$turns"); do
	for name in "${names[@]}"; do
		{ time run "$name" >/dev/null 2>&1; } 2>>"$work/$name.times"
	done
done

median() { # NAME wall|cpu, in milliseconds
	awk -v what="$2" '{ print 1000 * (what == "wall" ? $1 : $2 + $3) }' "$work/$1.times" | sort -n |
		awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
echo "$files files in $folders folders, medians of $turns turns in milliseconds; ratios to the floor and to find"
printf '%-15s %8s %8s %10s %10s %10s %10s\n' '' wall cpu wall/floor cpu/floor wall/find cpu/find
for name in "${names[@]}"; do
	awk -v n="$name" -v w="$(median "$name" wall)" -v c="$(median "$name" cpu)" \
		-v fw="$(median floor wall)" -v fc="$(median floor cpu)" -v gw="$(median find wall)" -v gc="$(median find cpu)" \
		'BEGIN { printf "%-15s %8.0f %8.0f %10.2f %10.2f %10.2f %10.2f\n", n, w, c, w / fw, c / fc, w / gw, c / gc }'
done
paired() { # NAME: the median of the turns' ratios to ours, processor time
	paste -d ' ' "$work/$1.times" "$work/ours.times" | awk '{ print ($2 + $3) / ($5 + $6) }' | sort -n |
		awk '{ v[NR] = $1 } END { printf "%.2f", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
echo "ratios to ours, processor time, medians of the turns: without openat2 $(paired no-openat2), without openat2 and statx $(paired no-statx)"
"$work/scan" -rss "$work/tree" | tail -n 1
