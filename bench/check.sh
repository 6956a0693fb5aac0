#!/usr/bin/env bash
# check.sh PROGRAM [FLOORS]: runs the kernels that FLOORS names and compares each one's best share of its ceiling with
# the least that is expected. Shares, not times: a slow or busy machine slows the ceiling too, and of three tries the
# best counts. Kernels of other instruction sets than the program's are passed over.
set -euo pipefail
program=${1:?give the benchmark program} floors=${2:-$(dirname "$0")/floors.txt}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

names=$(awk '!/^#/ && NF == 2 { gsub(/[][().*+?^$|]/, "\\\\&", $2); printf "%s%s", sep, $2; sep = "|" }' "$floors")
if ! "$program" --benchmark_filter="^($names)\$" --benchmark_min_time=0.1 --benchmark_repetitions=3 \
  --benchmark_out="$folder/bench.json" --benchmark_out_format=json >"$folder/log" 2>&1; then
  cat "$folder/log" >&2
  exit 1
fi
awk '
  FNR == NR { if (!/^#/ && NF == 2) { floor[$2] = $1; order[++count] = $2 }; next }
  /"run_name":/ { name = $0; sub(/^[^:]*: *"/, "", name); sub(/",?$/, "", name) }
  /"run_type":/ { single = /iteration/ }
  /"percent_of_ceiling":/ && single { share = $2 + 0; if (share > best[name]) best[name] = share }
  END {
    for (i = 1; i <= count; ++i) if (order[i] in best && length(order[i]) > width) width = length(order[i])
    printf "%-" width "s %12s %8s\n", "", "% of ceiling", "at least"
    for (i = 1; i <= count; ++i) {
      if (!(order[i] in best)) continue
      ok = best[order[i]] >= floor[order[i]]
      ok ? ++passed : ++failed
      printf "%-" width "s %12.0f %8d%s\n", order[i], best[order[i]], floor[order[i]], ok ? "" : "  BELOW"
    }
    printf "%d passed, %d failed\n", passed, failed
    exit failed > 0 || passed == 0
  }' "$floors" "$folder/bench.json"
