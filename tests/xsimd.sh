#!/usr/bin/env bash
# xsimd.sh [VERSION...]: planish with the versions of xsimd behind the system's, as Python's package `pythran` ships their
# headers (VERSION is that package's: 0.13.1 0.15.0 0.18.1 0.19.0 have xsimd 11.0, 12.1, 13.0 and 14.1):
#
#   * the headers under -Werror with g++ and clang for four instruction sets;
#   * with the last, the tests of FOLDERS [core packing quantizer kernels transform backend linear kv_cache] for this machine.
#
# The last line says "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."
. cmake/packages.sh
versions=("$@")
[ $# -gt 0 ] || versions=(0.13.1 0.15.0 0.18.1 0.19.0)
read -ra folders <<<"${FOLDERS:-core packing quantizer kernels transform backend linear kv_cache}"
install_missing g++:g++ python3-venv:/usr/share/doc/python3-venv libeigen3-dev:eigen3/Eigen/Core \
  doctest-dev:doctest/doctest.h || exit 2

build=$PWD/build/xsimd
mkdir -p "$build"
if [ ! -x "$build/python/bin/pip" ]; then
  python3 -m venv "$build/python" >"$build/log" 2>&1 || { cat "$build/log" >&2; exit 2; }
fi
warnings=(-Wall -Wextra -Wconversion -Wshadow -Werror)
case $(uname -m) in
  x86_64) archs=(x86-64 haswell icelake-server sapphirerapids) ;;
  *) archs=(native) ;;
esac
printf '#include <planish/%s.hpp>\n' planish io calibration >"$build/headers.cpp"
launcher=$(command -v ccache || true)

passed=0 failed=0
try() { # try WHAT COMMAND...
  local what=$1
  shift
  if "$@" >"$build/log" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "failed: $what"
    grep -m 5 -E "error|warning|ERROR" "$build/log" || tail -n 5 "$build/log"
  fi
}
for version in "${versions[@]}"; do
  place=$build/pythran-$version
  if [ ! -d "$place" ]; then
    "$build/python/bin/pip" install -q --no-deps --target "$place.new" "pythran==$version" >"$build/log" 2>&1 &&
      mkdir "$place.new/include" && mv "$place.new/pythran/xsimd" "$place.new/include/" && mv "$place.new" "$place" ||
      { cat "$build/log" >&2; echo "no pythran $version: is there a network?" >&2; exit 2; }
  fi
  # before the folders of the system, which may hold another xsimd
  common=(-std=c++20 "${warnings[@]}" -Iinclude -Itests -isystem "$place/include" -isystem /usr/include/eigen3)
  echo "== xsimd $(awk '/define XSIMD_VERSION_/ { v = v (v == "" ? "" : ".") $3 } END { print v }' \
    "$place/include/xsimd/config/xsimd_config.hpp")"
  for compiler in g++ clang++; do
    command -v "$compiler" >/dev/null || continue
    for arch in "${archs[@]}"; do
      try "$compiler, $arch" "$compiler" "${common[@]}" -march="$arch" -fsyntax-only "$build/headers.cpp"
    done
  done
done

# GCC's own intrinsics warn where they are inlined into optimised code.
flags=("${common[@]}" -O1 -march=native -Wno-uninitialized -Wno-maybe-uninitialized)
for folder in "${folders[@]}"; do
  out=$build/tests-$folder
  mkdir -p "$out"
  tests() {
    printf '%s\n' tests/main.cpp tests/"$folder"/*_test.cpp |
      xargs -P 2 -I{} sh -c 'exec "$@" -c {} -o "'"$out"'/$(basename {} .cpp).o"' sh $launcher g++ "${flags[@]}" &&
      g++ "$out"/*.o -o "$out/tests" && "$out/tests" --no-version
  }
  try "tests of $folder" tests
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
