#!/usr/bin/env bash
# run.sh [SECONDS] [TARGET...]: builds the fuzz targets with clang, writes their seeds, and runs each for so many seconds
# (default 60). run.sh --short [TARGET...]: a fixed number of runs from a fixed seed instead, the same every time.
# What is new is kept in build/fuzz/corpus/TARGET, a crash in build/fuzz/crashes. The last line says "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/../.."
. cmake/packages.sh
all=(safetensors gguf artefact flatquant json recipe tokenizer hugging_face sentence_piece)

amount=${1:-60}
shift || true
targets=("$@")
[ $# -gt 0 ] || targets=("${all[@]}")
for target in "${targets[@]}"; do
  [[ " ${all[*]} " == *" $target "* ]] || { echo "no target '$target'; there are: ${all[*]}" >&2; exit 2; }
done
if [ "$amount" = --short ]; then
  limit=(-runs=4000 -seed=1)
elif [[ "$amount" =~ ^[1-9][0-9]*$ ]]; then
  limit=(-max_total_time="$amount")
else
  echo "'$amount' is no number of seconds" >&2
  exit 2
fi

install_missing "${build_packages[@]}" "${test_packages[@]}" "${clang_packages[@]}" || exit 2
build=build/fuzz
mkdir -p $build/crashes
log=$build/build.log
if ! { cmake --preset fuzz "${launcher[@]}" && cmake --build --preset fuzz --target fuzz-seeds "${targets[@]/#/fuzz-}"; } >"$log" 2>&1; then
  cat "$log" >&2
  echo "0 passed, 1 failed"
  exit 1
fi
$build/tests/fuzz/fuzz-seeds $build/seeds || exit 1

# Inputs end at 16 KiB. No parser may ask for more than 1 MiB at once, or hold more than what the sanitizers take anyway.
passed=0 failed=0
for target in "${targets[@]}"; do
  corpus=$build/corpus/$target
  [ "$amount" != --short ] || corpus=$(mktemp -d)
  mkdir -p "$corpus"
  if "$build/tests/fuzz/fuzz-$target" "${limit[@]}" -dict=tests/fuzz/words.dict -max_len=16384 -timeout=10 -malloc_limit_mb=1 -rss_limit_mb=512 \
    -print_final_stats=1 -artifact_prefix="$build/crashes/$target-" "$corpus" "$build/seeds/$target" >"$log" 2>&1; then
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs, nothing found"
    passed=$((passed + 1))
  else
    tail -n 40 "$log"
    echo "$target: failed"
    failed=$((failed + 1))
  fi
  [ "$amount" != --short ] || rm -rf "$corpus"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
