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
. tests/try.sh
versions=("$@")
[ $# -gt 0 ] || versions=(0.13.1 0.15.0 0.18.1 0.19.0)
read -ra folders <<<"${FOLDERS:-core packing quantizer kernels transform backend linear kv_cache}"
install_missing g++:g++ python3-venv:/usr/share/doc/python3-venv libeigen3-dev:eigen3/Eigen/Core \
  doctest-dev:doctest/doctest.h || exit 2

build=$PWD/build/xsimd
log=$build/log
mkdir -p "$build"
if [ ! -x "$build/python/bin/pip" ]; then
  python3 -m venv "$build/python" >"$log" 2>&1 || { cat "$log" >&2; exit 2; }
fi
warnings=(-Wall -Wextra -Wconversion -Wshadow -Werror)
case $(uname -m) in
  x86_64) archs=(x86-64 haswell icelake-server sapphirerapids) ;;
  *) archs=(native) ;;
esac
printf '#include <planish/%s.hpp>\n' planish io calibration >"$build/headers.cpp"
cache=$(command -v ccache || true)

for version in "${versions[@]}"; do
  place=$build/pythran-$version
  if [ ! -d "$place" ]; then
    "$build/python/bin/pip" install -q --no-deps --target "$place.new" "pythran==$version" >"$log" 2>&1 &&
      mkdir "$place.new/include" && mv "$place.new/pythran/xsimd" "$place.new/include/" && mv "$place.new" "$place" ||
      { cat "$log" >&2; echo "no pythran $version: is there a network?" >&2; exit 2; }
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
run_tests() { build_tests "$1" "$build/tests-$1" $cache g++ "${flags[@]}" && "$build/tests-$1/tests" --no-version; }
for folder in "${folders[@]}"; do try "tests of $folder" run_tests "$folder"; done
finish
