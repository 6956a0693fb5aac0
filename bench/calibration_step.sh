#!/usr/bin/env bash
# One training step of one block of a real model against the machine's float multiply-add, and, where PyTorch is at hand,
# against the same step there.
#
#   bash bench/calibration_step.sh MODEL.gguf TEXT [THREADS [PLANISH_LLAMA [PLANISH_BENCH [OPTION...]]]]
#
# A pass counts 31.5 MFLOP a token in windows of 2048 and 25 in windows of 512 (SmolLM2-135M: three products for each
# linear layer, attention, transforms). A step's time is the difference of two runs, so that loading and the walk to the
# block's inputs do not count; ceilings are measured before and after. Options go to `calibrate`, for example
# --products split-bfloat16.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
model=${1:?give a model} text=${2:?give a text} threads=${3:-2}
llama=${4:-$root/build/examples/examples/planish-llama} bench=${5:-$root/build/bench/bench/planish-bench}
options=("${@:6}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

ceiling() { # float multiply-adds of $threads threads, GFLOP/s
  "$bench" --benchmark_filter="gemm/fp32/[^/]*/m:512/n:1536/k:576/threads:$threads\$" --benchmark_min_time=0.2 \
    --benchmark_out="$folder/bench.json" --benchmark_out_format=json >/dev/null 2>&1
  sed -n 's/.*"label": "float FMA \([0-9.]*\) GFLOP.*/\1/p' "$folder/bench.json" | head -n 1
}
learn() { # learn WINDOW SAMPLES EPOCHS: seconds of the whole run
  local began=$EPOCHREALTIME
  "$llama" calibrate --model "$model" --text "$text" --threads "$threads" --samples "$2" --window "$1" --epochs "$3" \
    --blocks 0:1 --out "$folder/$1-$3.planish" --trace "$folder/trace-$1.safetensors" "${options[@]}" >/dev/null 2>&1
  awk "BEGIN { print $EPOCHREALTIME - $began }"
}
pytorch() { # pytorch WINDOW: seconds of a step, or nothing
  python3 -c 'import torch' 2>/dev/null || return 0
  { python3 "$root/tests/oracle/flatquant_pytorch.py" "$model" "$folder/trace-$1.safetensors" --threads "$threads" --steps 8 || true; } |
    sed -n 's/.* steps, \([0-9.]*\) s each (median)/\1/p'
}

printf '%-8s %10s %12s %12s %14s %10s\n' window "step, s" "GFLOP/s" "of ceiling" "PyTorch, s" ratio
before=$(ceiling)
for window in 2048 512; do
  samples=$((16384 / window))
  short=$(learn "$window" "$samples" 1)
  long=$(learn "$window" "$samples" 3)
  theirs=$(pytorch "$window")
  after=$(ceiling)
  awk -v window="$window" -v steps=$((2 * samples)) -v short="$short" -v long="$long" -v a="$before" -v b="$after" -v theirs="$theirs" 'BEGIN {
    step = (long - short) / steps
    rate = window * (window == 2048 ? 31.5e6 : 25e6) / step * 1e-9
    printf "%-8d %10.4f %12.1f %12.2f %14s %10s\n", window, step, rate, rate / (a > b ? a : b), theirs, theirs == "" ? "" : sprintf("%.2f", theirs / step)
  }'
  before=$after
done
echo "ceiling: $before GFLOP/s on $threads threads"
