#!/usr/bin/env bash
# Installs what is missing, builds, gets a real model, compares recipes in one table, then lets FP32 and the best
# W4A4KV4 recipe continue the same prompt.
#
#   bash examples/run.sh [options of planish-llama compare]
#
#   --model FILE.gguf|DIR   another model of the Llama family       --text FILE              text to score
#   --recipe NAME           only these rows (repeatable)            --calibration-text FILE  text for statistics
#   --json FILE             the figures as JSON                     ... see: planish-llama compare --help
set -euo pipefail
cd "$(dirname "$0")/.."
. cmake/packages.sh

prompt="The old lighthouse keeper opened the door and"
folder=${XDG_CACHE_HOME:-$HOME/.cache}/planish
timings=()
began=$SECONDS
took() { # took WHAT: seconds since the part before ended
  timings+=("$1 $((SECONDS - began)) s")
  began=$SECONDS
}

model="" figures=""
for ((i = 1; i <= $#; ++i)); do
  next=$((i + 1))
  case ${!i} in
    --model) model=${!next:-} ;;
    --model=*) model=${!i#*=} ;;
    --json) figures=${!next:-} ;;
    --json=*) figures=${!i#*=} ;;
  esac
done

install_missing "${build_packages[@]}" || exit 2
took install

log=build/examples/build.log
mkdir -p build/examples "$folder"
echo "building planish-llama; the first time takes some minutes"
if ! { cmake --preset examples "${launcher[@]}" && cmake --build --preset examples --target planish-llama; } >"$log" 2>&1; then
  cat "$log" >&2
  echo "the build failed; the log is above and in $log" >&2
  exit 1
fi
llama=build/examples/examples/planish-llama
took build

options=()
if [ -z "$model" ]; then
  model=$(bash examples/get_model.sh)
  options+=(--model "$model")
fi
took download

if [ -z "$figures" ]; then
  figures=$folder/compare.json
  options+=(--json "$figures")
fi
"$llama" compare "${options[@]}" "$@"
took table

# The W4A4KV4 row with the lowest perplexity.
best=$(tr -d ' \n' <"$figures" | awk -v RS='{' '
  match($0, /"recipe":"w4a4kv4[^"]*"/) {
    recipe = substr($0, RSTART + 10, RLENGTH - 11)
    if (match($0, /"perplexity":[-+.0-9eE]+/)) {
      value = substr($0, RSTART + 13, RLENGTH - 13) + 0
      if (best == "" || value < lowest) { best = recipe; lowest = value }
    }
  }
  END { print best }')
for recipe in fp32 $best; do
  printf '\n%s\n' "$recipe"
  "$llama" generate --model "$model" --recipe "$recipe" --prompt "$prompt" --tokens 64 --seed 1
done
took text

printf -v line '%s, ' "${timings[@]}"
printf '\n%s\n' "${line%, }"
