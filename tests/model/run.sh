#!/usr/bin/env bash
# run.sh [BUILD_DIR] [--long]: perplexity of the default model on WikiText-2 against published figures. Skipped (77)
# where the text or the model cannot be had. --long: whole protocol and more recipes (hours on two cores).
#
# The figures: PyTorch float32 pass, ids of the whole test file, non-overlapping windows; first 40 windows of 512 ids
# (short), all 148 windows of 2048 (long). Tolerances: FP32 0.1 %; quantized rows 1 % below 35, else 3 %.
set -uo pipefail
cd "$(dirname "$0")/../.."
build=${1:-build/release}
llama=$build/examples/planish-llama
text=../shared/data/wikitext2/wiki.test.raw

[ -x "$llama" ] || { echo "skipped: $llama is not built"; exit 77; }
[ -e "$text" ] || { echo "skipped: no WikiText-2 at $text"; exit 77; }
model=$(bash examples/get_model.sh) || { echo "skipped: no model"; exit 77; }

passed=0 failed=0
check() { # check RECIPE CONTEXT TOKENS FIGURE PERCENT
  local json value
  json=$(mktemp)
  if ! "$llama" perplexity --model "$model" --text "$text" --recipe "$1" --context "$2" --tokens "$3" --json "$json" >/dev/null; then
    echo "$1: planish-llama perplexity failed"
    failed=$((failed + 1))
    return
  fi
  value=$(tr -d ' \n' <"$json" | sed -n 's/.*"perplexity":\([-+.0-9eE]*\).*/\1/p')
  rm -f "$json"
  if awk -v value="$value" -v figure="$4" -v percent="$5" \
    'BEGIN { off = 100 * (value - figure) / figure; printf "%s: perplexity %.3f, published %.3f, off by %+.2f %% of %.1f %% allowed\n",
             "'"$1"'", value, figure, off, percent; exit !(value > 0 && off <= percent && off >= -percent) }'; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
  fi
}

if [ "${2:-}" = --long ]; then
  check fp32 2048 303104 21.767 0.1
  check w8a8 2048 303104 22.472 1
  check w4a16 2048 303104 47.58 3
else
  check fp32 512 20480 28.687 0.1
  check w8a8 512 20480 29.594 1
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
