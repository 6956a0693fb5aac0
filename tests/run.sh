#!/usr/bin/env bash
# Installs what is missing, builds, runs every test. The last line says "N passed, N failed".
#
#   bash tests/run.sh [preset [CMake options...]]
#
# preset: release (default), clang, clang-all, clang-release, asan-ubsan, asan-ubsan-all, avx2, avxvnni, nightly, cuda
set -uo pipefail
cd "$(dirname "$0")/.."
. cmake/packages.sh
preset=${1:-release}
shift || true

# Tests that can use the real model do so where examples/run.sh has fetched it.
cached=${XDG_CACHE_HOME:-${HOME:-}/.cache}/planish/SmolLM2-135M-Instruct.Q4_1.gguf
[ -e "$cached" ] && export PLANISH_TEST_MODEL="${PLANISH_TEST_MODEL:-$cached}"

install_missing "${build_packages[@]}" "${test_packages[@]}" || exit 2

log=build/$preset/tests.log
mkdir -p "build/$preset"
run() { # a step that must work; its output is shown only when it does not
  if ! "$@" >"$log" 2>&1; then
    cat "$log" >&2
    echo "the build failed: $(first_error "$log"); the log is above and in $log" >&2
    echo "0 passed, 1 failed"
    exit 1
  fi
}
start=$SECONDS
run cmake --preset "$preset" "${launcher[@]}" "$@"
echo "building ($preset); the first time takes some minutes"
run cmake --build --preset "$preset"
echo "built in $((SECONDS - start)) s"

# The checks that build something share the build folder and wait for each other; the rest runs side by side.
ctest --preset "$preset" -j "$(nproc)" 2>&1 | tee "$log"
bash tests/count.sh "$log" "build/$preset/Testing/Temporary/LastTest.log"
