#!/usr/bin/env bash
# check.sh PROGRAM [FLOORS [PERCENT]]: runs the kernels that FLOORS names and compares each one's share of its ceiling with the
# least that is expected, or with so many per cent of that. Shares, not times: a slow or busy machine slows the ceiling beside the kernel too. What is below
# runs again, twice at most, and the best counts. Kernels of other instruction sets than the program's are passed over;
# where it has none of them, nothing is checked, and the last line says so.
set -euo pipefail
program=${1:?give the benchmark program} floors=${2:-$(dirname "$0")/floors.txt} percent=${3:-100}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# filter FLOORS: their names as one regular expression.
filter() { awk '{ gsub(/[][().*+?^$|]/, "\\\\&", $2); printf "%s%s", sep, $2; sep = "|" }' "$1"; }

"$program" --benchmark_list_tests >"$folder/names"
awk -v percent="$percent" '
  FNR == NR { has[$1]; next } !/^#/ && NF == 2 && $2 in has { print int($1 * percent / 100), $2 }' \
  "$folder/names" "$floors" >"$folder/below"
if [ ! -s "$folder/below" ]; then
  echo "speed not checked: $program has none of the kernels of $floors (they are for AVX-512 VNNI)"
  exit 0
fi
cp "$folder/below" "$folder/floors"
: >"$folder/shares"
for _ in 1 2 3; do
  [ -s "$folder/below" ] || break
  if ! "$program" --benchmark_filter="^($(filter "$folder/below"))\$" --benchmark_min_time=0.2 \
    --benchmark_out="$folder/bench.json" --benchmark_out_format=json >"$folder/log" 2>&1; then
    cat "$folder/log" >&2
    exit 1
  fi
  awk '
    /"run_name":/ { name = $0; sub(/^[^:]*: *"/, "", name); sub(/",?$/, "", name) }
    /"percent_of_ceiling":/ { share = $0; sub(/^[^:]*: */, "", share); print name, share + 0 }' "$folder/bench.json" >>"$folder/shares"
  awk 'FNR == NR { if ($2 > best[$1]) best[$1] = $2; next } best[$2] < $1' "$folder/shares" "$folder/floors" >"$folder/below"
done
awk '
  FNR == NR { if ($2 > best[$1]) best[$1] = $2; next }
  { floor[$2] = $1; order[++count] = $2; if (length($2) > width) width = length($2) }
  END {
    printf "%-" width "s %12s %8s\n", "", "% of ceiling", "at least"
    for (i = 1; i <= count; ++i) {
      name = order[i]
      ok = best[name] >= floor[name]
      ok ? ++passed : ++failed
      printf "%-" width "s %12.0f %8d%s\n", name, best[name], floor[name], ok ? "" : "  BELOW"
    }
    printf "%d passed, %d failed\n", passed, failed
    exit failed > 0
  }' "$folder/shares" "$folder/floors"
