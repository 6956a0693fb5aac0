#!/usr/bin/env bash
# What each part of the learning is worth, on a real model: one table of calibrations that differ in one thing.
#
#   bash examples/ablation.sh components|objectives|inputs|weights|bits|rows --text TRAIN --test TEST [options of calibrate] [-- ROW...]
#
#   components   none; the transform; with scale; with clips; all; all with a fixed clip instead of learned ones
#   objectives   the best without learning; the error of weights, layers, modules, blocks made small
#   inputs       learned from the float model, the quantized blocks before, a mix; rounding to nearest and by GPTQ
#   weights      15 passes of transforms and clips, rounded to nearest and by GPTQ; 8 of them and 7 of the weights
#   rows         what you give after --: "NAME|RECIPE|OPTIONS OF CALIBRATE" each
#   bits         weights alone at 4 and 3 bits, cache alone at 4, 3 and 2 bits: without and with learning
#
#   --processes N   learn N blocks at a time, one thread each        --context N   tokens of a scored window [512]
#   --tokens N      of the test text, 0: all [20480]                 --build DIR   of planish-llama [build/examples]
#
# Artefacts stay in ${XDG_CACHE_HOME:-~/.cache}/planish/ablation, so that a run goes on where it was stopped.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
  components | objectives | inputs | weights | bits | rows) what=$1 ;;
  *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
shift
text="" test="" processes=0 context=512 tokens=20480 build=build/examples learning=() model=()
while [ $# -gt 0 ]; do
  case $1 in
    --) shift; break ;;
    --text) text=${2:?$1 needs a file} ;;
    --test) test=${2:?$1 needs a file} ;;
    --processes) processes=${2:?$1 needs a number} ;;
    --context) context=${2:?$1 needs a number} ;;
    --tokens) tokens=${2:?$1 needs a number} ;;
    --build) build=${2:?$1 needs a folder} ;;
    -m | --model) model=(--model "${2:?$1 needs a file}") ;;
    *) learning+=("$1" "${2:?$1 needs a value}") ;;
  esac
  shift 2
done
for file in "$text" "$test"; do
  [ -f "$file" ] || { echo "give --text and --test a text file each${file:+; there is no $file}" >&2; exit 2; }
done
llama=$build/examples/planish-llama
[ -x "$llama" ] || { echo "$llama is not there; build it with: bash examples/run.sh" >&2; exit 2; }
folder=${XDG_CACHE_HOME:-$HOME/.cache}/planish/ablation
mkdir -p "$folder"

header() { printf '%-34s %12s %10s %10s\n' "$what" perplexity "time, s" "peak, MiB"; }
score() { # score NAME SECONDS PEAK OPTIONS...: one row
  local name=$1 seconds=$2 peak=$3 json
  shift 3
  json=$folder/score.json
  "$llama" perplexity "${model[@]}" --text "$test" --context "$context" --tokens "$tokens" --json "$json" "$@" >/dev/null
  printf '%-34s %12.3f %10s %10s\n' "$name" "$(tr -d ' \n' <"$json" | sed -n 's/.*"perplexity":\([-+.0-9eE]*\).*/\1/p')" \
    "$seconds" "$peak"
}
plain() { score "$1" - - --recipe "$1" --calibration-text "$text"; } # plain RECIPE: a row without learning
# shellcheck disable=SC2086
given() { local name recipe options; IFS='|' read -r name recipe options <<<"$1"; learned "$name" "$recipe" $options; }
learned() { # learned NAME RECIPE OPTIONS...: calibrates, then a row
  local name=$1 recipe=$2 out began seconds log
  shift 2
  out=$folder/$(printf '%s' "$recipe $* ${learning[*]}" | sha256sum | cut -c1-16).planish
  log=$out.log
  began=$SECONDS
  if [ ! -f "$out" ]; then
    local command=("$llama" calibrate "${model[@]}" --text "$text" --recipe "$recipe" --out "$out" "${learning[@]}" "$@")
    if [ "$processes" -gt 0 ]; then
      local others=()
      for ((i = 1; i < processes; ++i)); do
        "${command[@]}" --threads 1 >/dev/null 2>&1 &
        others+=($!)
      done
      "${command[@]}" --threads 1 >"$log"
      wait "${others[@]}" || true
    else
      "${command[@]}" >"$log"
    fi
    seconds=$((SECONDS - began))
    echo "$seconds" >"$out.seconds"
  fi
  score "$name" "$(cat "$out.seconds")" "$(sed -n 's/.*peak memory \([0-9.]*\) MiB.*/\1/p' "$log" | tail -n 1)" --planish "$out"
}

header
case $what in
  rows) for row; do given "$row"; done ;;
  components)
    plain w4a4kv4
    learned transform w4a4kv4 --without scale --without clip
    learned "transform, scale" w4a4kv4 --without clip
    learned "transform, clips" w4a4kv4 --without scale
    learned "transform, scale, clips" w4a4kv4
    learned "the same, inputs keep their mean" w4a4kv4 --centre no
    for ratio in 0.95 0.9 0.8; do
      learned "transform, scale, all clips at $ratio" w4a4kv4 --clip-rate 0 --clip-start "$ratio"
    done ;;
  objectives)
    plain w4a4kv4+shift+scale+hadamard
    for objective in weight layer module block; do learned "$objective" w4a4kv4 --objective "$objective"; done ;;
  inputs)
    for inputs in float quantized mixed; do
      learned "$inputs, to nearest" w4a4kv4 --inputs "$inputs"
      learned "$inputs, gptq" w4a4kv4+gptq --inputs "$inputs"
    done
    learned "float, gptq of quantized inputs" w4a4kv4+gptq --rounding-inputs quantized ;;
  weights)
    learned "to nearest" w4a4kv4 --epochs 15
    learned gptq w4a4kv4+gptq --epochs 15
    for inputs in float quantized mixed; do
      learned "weights learn, inputs $inputs" w4a4kv4 --epochs 8 --weight-epochs 7 --inputs "$inputs"
    done ;;
  bits)
    for bits in w4a16 w3a16; do
      for stages in "" +mse +scale +hadamard +scale+hadamard +scale+hadamard+mse; do plain "$bits$stages"; done
      learned "$bits, learned" "$bits"
    done
    for bits in 4 3 2; do
      for stages in "" +hadamard +kronecker; do plain "w16a16kv$bits$stages"; done
      learned "w16a16kv$bits, learned" "w16a16kv$bits"
    done ;;
esac
