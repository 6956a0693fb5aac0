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
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/cmake/packages.sh"

prompt="The old lighthouse keeper opened the door and"
folder=${XDG_CACHE_HOME:-$HOME/.cache}/planish
timings=()
began=$SECONDS
took() { # took WHAT: seconds since the part before ended
  timings+=("$1 $((SECONDS - began)) s")
  began=$SECONDS
}

# All options go to the table; those that say how a recipe is made also go to the text.
table=() text=() model="" figures="" calibration=sampled
while [ $# -gt 0 ]; do
  option=$1
  case $option in --*=*) set -- "${option%%=*}" "${option#*=}" "${@:2}" ;; esac
  case $1 in
    -m | --model) model=${2:?$1 needs a file} text+=(--model "$2") ;;
    --json) figures=${2:?$1 needs a file} ;;
    --calibration-text) calibration=${2:?$1 needs a file} ;;
    --tokenizer | --threads | --calibration-tokens | --planish | --alpha | --seed | --head-bits) text+=("$1" "${2:?$1 needs a value}") ;;
    -h | --help)
      sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
      exit 0 ;;
    --fake) text+=(--fake) ;;
  esac
  table+=("$1")
  shift
done

install_missing "${build_packages[@]}" || exit 2
took install

build=$root/build/examples
log=$build/build.log
mkdir -p "$build" "$folder"
echo "building planish-llama; the first time takes some minutes"
if ! (cd "$root" && cmake --preset examples "${launcher[@]}" && cmake --build "$build" --target planish-llama) >"$log" 2>&1; then
  cat "$log" >&2
  echo "the build failed; the log is above and in $log" >&2
  exit 1
fi
llama=$build/examples/planish-llama
took build

if [ -z "$model" ]; then
  model=$(bash "$root/examples/get_model.sh")
  table+=(--model "$model") text+=(--model "$model")
fi
took download

if [ -z "$figures" ]; then
  figures=$folder/compare.json
  table+=(--json "$figures")
fi
"$llama" compare "${table[@]}"
took table

# The W4A4KV4 row with the lowest perplexity.
best=$([ ! -f "$figures" ] || tr -d ' \n' <"$figures" | awk -v RS='{' '
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
  "$llama" generate --recipe "$recipe" --calibration-text "$calibration" --prompt "$prompt" --tokens 64 "${text[@]}"
done
took text

printf -v line '%s, ' "${timings[@]}"
printf '\n%s\n' "${line%, }"
