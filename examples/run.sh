#!/usr/bin/env bash
# Installs what is missing, builds, gets a real model, learns FlatQuant's transforms on text drawn from that model,
# compares recipes in one table, then lets FP32 and the best W4A4KV4 recipe continue the same prompt.
#
#   bash examples/run.sh [options of planish-llama compare]
#
#   --model FILE.gguf|DIR   another model of the Llama family       --text FILE              text to score
#   --recipe NAME           only these rows (repeatable)            --calibration-text FILE  text to calibrate on
#   --json FILE             the figures as JSON                     ... see: planish-llama compare --help
#   --planish FILE          this artefact, or FlatQuant's parameters, instead of what is learned here
#   --no-calibration        learn nothing: a table without the row w4a4kv4+flatquant
#
# What was learned is kept in ${XDG_CACHE_HOME:-$HOME/.cache}/planish for the next run; after Ctrl-C the next run goes
# on where it was. PLANISH_LEARNING holds other options of planish-llama calibrate than those below.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/cmake/packages.sh"

# What the learned row is learned from, and for how long: a fixed number of steps, never a clock.
learning=${PLANISH_LEARNING:---samples 112 --window 256 --epochs 2 --weight-epochs 2 --learning-rate 0.02 --weight-rate 0.005 --beta1 0.8 --beta2 0.95 --weight-decay 0 --weight-inputs quantized --products auto}
learned=w4a4kv4+flatquant

prompt="The old lighthouse keeper opened the door and"
folder=${XDG_CACHE_HOME:-$HOME/.cache}/planish
timings=()
began=$SECONDS
took() { # took WHAT: seconds since the part before ended
  timings+=("$1 $((SECONDS - began)) s")
  began=$SECONDS
}

# All options go to the table, those in `common` to every command, those in `text` also to the text.
common=() table=() text=() recipes=() model="" figures="" planish="" calibration=sampled learns=yes
while [ $# -gt 0 ]; do
  case $1 in
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    -[mr]?*) set -- "${1:0:2}" "${1:2}" "${@:2}" ;;
  esac
  words=1
  case $1 in
    -m | --model) words=2 model=${2:?$1 needs a file} ;;
    -r | --recipe) words=2 recipes+=("${2:?$1 needs a recipe}") ;;
    --planish) words=2 planish=${2:?$1 needs a file} ;;
    --json) words=2 figures=${2:?$1 needs a file} ;;
    --calibration-text) words=2 calibration=${2:?$1 needs a file} ;;
    --tokenizer | --threads) words=2 common+=("$1" "${2:?$1 needs a value}") ;;
    --calibration-tokens | --alpha | --seed | --head-bits)
      words=2 table+=("$1" "${2:?$1 needs a value}") text+=("$1" "$2") ;;
    --fake) table+=("$1") text+=("$1") ;;
    --no-calibration) learns="" ;;
    -h | --help)
      sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
      exit 0 ;;
    *) table+=("$1") ;;
  esac
  shift $words
done

[ -z "$model" ] || [ -e "$model" ] || { echo "$model: no such file; --model takes FILE.gguf or a folder of Hugging Face's" >&2; exit 2; }
[ -z "$learns" ] && [ -n "$figures" ] || { mkdir -p "$folder" 2>/dev/null && [ -w "$folder" ]; } || { echo "cannot write to $folder; set XDG_CACHE_HOME to a folder that can be written" >&2; exit 2; }

install_missing "${build_packages[@]}" || exit 2
took install

build=$root/build/examples
log=$build/build.log
mkdir -p "$build" 2>/dev/null || { echo "cannot write to $build; copy planish to a folder that can be written" >&2; exit 2; }
echo "building planish-llama; the first time takes some minutes"
if ! (cd "$root" && cmake --preset examples "${launcher[@]}" -DPLANISH_TOGETHER=ON && cmake --build "$build" --target planish-llama) >"$log" 2>&1; then
  cat "$log" >&2
  echo "the build failed: $(first_error "$log"); the log is above and in $log" >&2
  exit 1
fi
llama=$build/examples/planish-llama
took build

[ -n "$model" ] || model=$(bash "$root/examples/get_model.sh")
common+=(--model "$model")
took download

# relay FILE: passes lines on to stderr, on a terminal those of progress in each other's place; FILE keeps the last one.
relay() {
  trap '' INT
  local line
  while IFS= read -r line; do
    printf '%s\n' "$line" >"$1"
    if [ ! -t 2 ]; then
      printf '%s\n' "$line" >&2
    else
      printf '\r%s\033[K' "$line" >&2
      [[ $line == *" left" ]] || printf '\n' >&2
    fi
  done
}

# The artefact of the learned row, unless nobody asks for that row: from the cache folder, or learned now. Its name
# carries what it depends on, so that an unfinished calibration with other options is not in the way.
stored="" missing=""
if [ -n "$learns" ] && [ -z "$planish" ] && [[ " ${recipes[*]:-$learned} " == *" $learned "* ]]; then
  origin=$(realpath -m -- "$model")
  [ "$calibration" = sampled ] || origin+=$'\n'$(realpath -m -- "$calibration")
  key=$(printf '%s\n' "$origin" "$learning" | cksum)
  artefact=$folder/learned-$(basename -- "$model")-${key%% *}.planish
  said=$(mktemp)
  status=0
  # shellcheck disable=SC2086
  {
    "$llama" calibrate "${common[@]}" --text "$calibration" $learning --recipe "${learned%+flatquant}" \
      --out "$artefact" 2>&1 >&3 | relay "$said" || status=${PIPESTATUS[0]}
  } 3>&1
  case $status in
    0) planish=$artefact stored=$learned ;;
    130) rm -f "$said"; exit 130 ;;
    *)
      missing=$(sed 's/^planish-llama: //' "$said")
      [ "$status" -lt 128 ] || missing="signal $((status - 128)) ended its calibration"
      others=()
      for recipe in "${recipes[@]}"; do [ "$recipe" = "$learned" ] || others+=("$recipe"); done
      [ ${#recipes[@]} = 0 ] || [ ${#others[@]} -gt 0 ] || others=(fp32)
      recipes=("${others[@]}") ;;
  esac
  rm -f "$said"
  took calibrate
fi

figures=${figures:-$folder/compare.json}
"$llama" compare "${common[@]}" "${table[@]}" "${recipes[@]/#/--recipe=}" ${planish:+--planish "$planish"} \
  --calibration-text "$calibration" --json "$figures"
[ -z "$missing" ] || printf 'no row %s: %s\n' "$learned" "$missing"
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
# It comes from the file if that holds this very recipe, or what only a file can bring.
from_file=()
if [ -n "$best" ] && [ -n "$planish" ]; then
  [ -n "$stored" ] || stored=$("$llama" info "${common[@]}" --planish "$planish" | sed -n 's/^recipe \(.*\): .* bits per weight.*/\1/p')
  if [ "$best" = "$stored" ] || [[ $best == *+flatquant* ]]; then from_file=(--planish "$planish"); fi
fi
continue_prompt() { # continue_prompt RECIPE [OPTION...]
  printf '\n%s\n' "$1"
  "$llama" generate "${common[@]}" "${text[@]}" --recipe "$1" "${@:2}" --calibration-text "$calibration" --prompt "$prompt" --tokens 64
}
continue_prompt fp32
[ -z "$best" ] || continue_prompt "$best" "${from_file[@]}"
took text

printf -v line '%s, ' "${timings[@]}"
printf '\n%s\n' "${line%, }"
