#!/usr/bin/env bash
# run.sh PROGRAM [options of Google Benchmark]: runs the suite, keeps its JSON beside the program, prints the table.
set -euo pipefail
program=$1
shift
json=$(dirname "$program")/bench.json
log=${json%.json}.log
if ! "$program" --benchmark_min_time=0.2 --benchmark_out="$json" --benchmark_out_format=json "$@" >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
awk -f "$(dirname "$0")/table.awk" "$json"
echo "figures: $json"
