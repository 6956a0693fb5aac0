#!/usr/bin/env bash
# other_platforms.sh [VERSION...]: planish where this machine is not: with libc++ in place of libstdc++, on musl, for
# macOS and Windows. The compilers are clang 17 to 20 as Python's package `ziglang` ships them, with the C and C++
# headers of each platform (VERSION is that package's: 0.12.0 0.13.0 0.14.1 0.15.2). For each:
#
#   * the headers under -Werror for Linux (musl, glibc), macOS and Windows, C++20 and C++23;
#   * with the last, the tests of FOLDERS [core packing quantizer kernels transform backend linear kv_cache io] as static
#     programs of musl and libc++, run here.
#
# The last line says "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."
. cmake/packages.sh
. tests/try.sh
versions=("$@")
[ $# -gt 0 ] || versions=(0.12.0 0.13.0 0.14.1 0.15.2)
read -ra folders <<<"${FOLDERS:-core packing quantizer kernels transform backend linear kv_cache io}"
install_missing python3-venv:/usr/share/doc/python3-venv libxsimd-dev:xsimd/xsimd.hpp libeigen3-dev:Eigen/Core doctest-dev:doctest/doctest.h || exit 2

build=$PWD/build/other_platforms
log=$build/log
mkdir -p "$build/include"
export ZIG_GLOBAL_CACHE_DIR=$build/cache ZIG_LOCAL_CACHE_DIR=$build/cache
for library in xsimd doctest eigen3/Eigen eigen3/unsupported; do # headers of libraries, none of this machine's C library
  for found in /usr/include/$library /usr/local/include/$library; do
    if [ -d "$found" ]; then ln -sfn "$found" "$build/include/${library##*/}"; fi
  done
done
warnings=(-Wall -Wextra -Wconversion -Wshadow -Werror)
common=(-Iinclude -Itests -isystem "$build/include")
targets=("x86_64-linux-gnu -mcpu=haswell" "x86_64-linux-musl -mcpu=sapphirerapids" "aarch64-linux-musl -mcpu=generic+dotprod"
  "aarch64-macos -mcpu=apple_m1" "x86_64-macos -mcpu=haswell" "x86_64-windows-gnu -mcpu=haswell")
printf '#include <planish/%s.hpp>\n' planish io calibration >"$build/headers.cpp"

for version in "${versions[@]}"; do
  place=$build/ziglang-$version
  if [ ! -x "$place/bin/python" ]; then
    { python3 -m venv "$place.new" && "$place.new/bin/pip" install -q "ziglang==$version" && mv "$place.new" "$place"; } \
      >"$log" 2>&1 || { cat "$log" >&2; echo "no ziglang $version: is there a network?" >&2; exit 2; }
  fi
  zig=("$place/bin/python" -m ziglang c++)
  echo "== $("${zig[@]}" --version | head -n 1 | sed 's/ (.*//'), libc++"
  for target in "${targets[@]}"; do
    for standard in c++20 c++2b; do
      try "${target% *}, $standard" "${zig[@]}" -target $target -std=$standard "${warnings[@]}" "${common[@]}" \
        -c "$build/headers.cpp" -o "$build/headers.o"
    done
  done
done

# The last of the compilers builds the tests; the objects of a folder two at a time.
flags=(-target x86_64-linux-musl -static -mcpu=haswell -std=c++20 -O1 "${common[@]}")
run_tests() { build_tests "$1" "$build/tests-$1" "${zig[@]}" "${flags[@]}" && "$build/tests-$1/tests" --no-version; }
for folder in "${folders[@]}"; do try "tests of $folder with libc++ and musl" run_tests "$folder"; done
finish
