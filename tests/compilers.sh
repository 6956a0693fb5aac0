#!/usr/bin/env bash
# compilers.sh [COMPILER...]: every compiler of the table that is here (g++ 12 to 15, clang 14 to 20), or those named,
# with C++20 and C++23: planish's headers under -Werror for four instruction sets, header-only and with the bodies apart,
# and the consumers' program built and run. The last line says "N passed, N failed".
set -u
cd "$(dirname "$0")/.."
. tests/try.sh
if [ $# = 0 ]; then
  for name in g++-{12,13,14,15} clang++-{14,15,16,17,18,19,20}; do
    if command -v "$name" >/dev/null; then set -- "$@" "$name"; fi
  done
fi
[ $# -gt 0 ] || { echo "no compiler of the table is here" >&2; exit 2; }
folder=$(mktemp -d)
log=$folder/log
trap 'rm -rf "$folder"' EXIT
warnings=(-Wall -Wextra -Wconversion -Wshadow -Werror)
case $(uname -m) in
  x86_64)
    archs=(x86-64 haswell icelake-server sapphirerapids)
    grep -q -m 1 '^flags.* avx2 ' /proc/cpuinfo && here=haswell || here=x86-64 ;;
  *) archs=(native) here=native ;;
esac
eigen=/usr/include/eigen3
headers='#include <planish/planish.hpp>\n#include <planish/io.hpp>\n'
[ -d $eigen ] && headers+='#include <planish/calibration.hpp>\n'
printf '%b' "$headers" >"$folder/headers.cpp"
echo '#include <planish/bodies.hpp>' >"$folder/bodies.cpp"

for compiler; do
  version=$("$compiler" --version | head -n 1) || { echo "no compiler '$compiler'" >&2; exit 2; }
  echo "== $compiler: $version"
  for standard in c++20 c++2b; do  # the second is C++23 for all of them
    all=("$compiler" "-std=$standard" "${warnings[@]}" -Iinclude -isystem $eigen)
    for arch in "${archs[@]}"; do
      try "$compiler, $standard, $arch" "${all[@]}" -march="$arch" -fsyntax-only "$folder/headers.cpp"
      try "$compiler, $standard, $arch, bodies" "${all[@]}" -march="$arch" -DPLANISH_SEPARATE_BODIES -fsyntax-only \
        "$folder/bodies.cpp"
    done
    rm -f "$folder/program"
    try "$compiler, $standard, program" "${all[@]}" -march="$here" -O1 tests/consumers/program/{main,layer}.cpp \
      -o "$folder/program"
    try "$compiler, $standard, program runs" "$folder/program"
  done
done
finish
