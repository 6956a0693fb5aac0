#!/usr/bin/env bash
# kill_resume.sh [BUILD_DIR] [SEED]: a tiny calibration of the default model is killed at ten random moments, goes on
# each time, and must end in the artefact of a run that nobody disturbed, to the bit; then the same with two processes,
# one of which is killed. Skipped (77) where the model cannot be had.
set -uo pipefail
cd "$(dirname "$0")/../.."
build=${1:-build/release}
RANDOM=${2:-1}
llama=$(realpath "$build/examples/planish-llama")

[ -x "$llama" ] || { echo "skipped: $llama is not built"; exit 77; }
model=$(bash examples/get_model.sh) || { echo "skipped: no model"; exit 77; }

folder=$(mktemp -d)
children=()
trap 'kill -9 "${children[@]}" 2>/dev/null; rm -rf "$folder"' EXIT
job=("$llama" calibrate --model "$model" --text README.md --samples 1 --window 32 --epochs 1 --threads 1)

passed=0 failed=0
start() { "$@" >>"$folder/log" 2>&1 & children+=($!); } # the last of ${children[@]} is the process
doze() { # doze FROM TO: sleeps a random time between so many hundredths of a second
  local hundredths=$(($1 + RANDOM % ($2 - $1)))
  sleep "$((hundredths / 100)).$(printf %02d $((hundredths % 100)))"
}
compare() { # compare NAME ARTEFACT
  if cmp -s "$folder/whole.planish" "$2" && [ ! -e "$2.parts" ]; then
    echo "$1: the same artefact"
    passed=$((passed + 1))
  else
    echo "$1: another artefact, none, or parts left"
    tail -n 5 "$folder/log"
    failed=$((failed + 1))
  fi
}

"${job[@]}" --out "$folder/whole.planish" >"$folder/log" 2>&1 || { cat "$folder/log"; echo "0 passed, 1 failed"; exit 1; }

# One process, killed ten times; every second run keeps its activations in files.
killed=0
for ((i = 0; i < 10; ++i)); do
  options=()
  [ $((i % 2)) = 0 ] || options=(--spill)
  start "${job[@]}" "${options[@]}" --out "$folder/one.planish"
  doze 20 120
  kill -9 "${children[-1]}" 2>/dev/null && killed=$((killed + 1))
  wait "${children[-1]}" 2>/dev/null
done
"${job[@]}" --out "$folder/one.planish" >>"$folder/log" 2>&1
compare "one process killed $killed times" "$folder/one.planish"

# Two processes that know nothing of each other, the second killed.
start "${job[@]}" --out "$folder/two.planish"
first=${children[-1]}
start "${job[@]}" --out "$folder/two.planish"
doze 80 180
kill -9 "${children[-1]}" 2>/dev/null
wait "${children[-1]}" 2>/dev/null
wait "$first"
compare "one of two processes killed" "$folder/two.planish"

# The same under MPI: ranks in a shell that hides how they ended, so that mpirun keeps the others; then an mpirun that
# ends them all and is called again.
if grep -q '^PLANISH_MPI:BOOL=ON' "$build/CMakeCache.txt" 2>/dev/null && command -v mpirun >/dev/null; then
  kill_rank_1() { # kill_rank_1 ARTEFACT
    local process
    for process in $(pgrep -f -- "--out $1"); do
      [ "$(readlink "/proc/$process/exe")" = "$llama" ] || continue
      tr '\0' '\n' <"/proc/$process/environ" | grep -qE '^(PMI_RANK|OMPI_COMM_WORLD_RANK)=1$' && kill -9 "$process"
    done
  }
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  # shellcheck disable=SC2016
  start mpirun -n 2 sh -c '"$@" || true' sh "${job[@]}" --out "$folder/kept.planish"
  doze 80 180
  kill_rank_1 "$folder/kept.planish"
  wait "${children[-1]}" 2>/dev/null
  compare "rank 1 of 2 killed, rank 0 kept" "$folder/kept.planish"

  start mpirun -n 2 "${job[@]}" --out "$folder/ranks.planish"
  doze 80 180
  kill_rank_1 "$folder/ranks.planish"
  wait "${children[-1]}" 2>/dev/null
  mpirun -n 2 "${job[@]}" --out "$folder/ranks.planish" >>"$folder/log" 2>&1
  compare "rank 1 of 2 killed, and the same command again" "$folder/ranks.planish"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
