#!/usr/bin/env bash
# lean.sh COMPILER INCLUDE_DIR [OPTION...]: what a unit costs that includes an umbrella and calls nothing, in what the
# compiler makes the same of from run to run, g++ its memory, clang its types: at most so many times what xsimd and
# <vector> take. An inline function compiles what it calls in every unit; PLANISH_LAZY (core/abi.hpp) before it keeps that
# to the units that call it, and Array (core/array.hpp) keeps clang from compiling the members of vectors.
set -u
compiler=$1 include=$2
shift 2
clang=$("$compiler" --version | head -n 1 | grep -i clang || true)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# cost LINE...: of a unit of these lines
cost() {
  local flags=(-std=c++20 -O2 -march=native -I"$include" -isystem /usr/include/eigen3 "${options[@]}")
  printf '%s\n' "$@" >"$folder/unit.cpp"
  if [ -n "$clang" ]; then
    "$compiler" "${flags[@]}" -fsyntax-only -Xclang -print-stats "$folder/unit.cpp" 2>&1 |
      sed -n 's/^ *\([0-9]*\) types total.*/\1/p'
  else
    "$compiler" "${flags[@]}" -ftime-report -c "$folder/unit.cpp" -o "$folder/unit.o" 2>&1 | awk '
      $1 == "TOTAL" { size = $NF; unit = substr(size, length(size)); sub(/[kMG]$/, "", size)
                      print int(size * (unit == "G" ? 1048576 : unit == "M" ? 1024 : 1)) }'
  fi
}
options=("$@")
base=$(cost '#include <vector>' '#include <xsimd/xsimd.hpp>')
[ -n "$base" ] || { echo "$compiler does not say what a unit costs"; exit 77; }
failed=0
check() { # check HEADER TENTHS_OF_GCC TENTHS_OF_CLANG
  local size most=$2
  [ -z "$clang" ] || most=$3
  size=$(cost "#include <planish/$1>")
  [ -n "$size" ] || { echo "<planish/$1> does not compile"; failed=1; return; }
  printf '<planish/%s>: %d.%02d times xsimd and <vector>, at most %d.%d\n' "$1" $((size / base)) \
    $((size * 100 / base % 100)) $((most / 10)) $((most % 10))
  [ $((size * 10)) -le $((base * most)) ] || failed=1
}
check planish.hpp 14 16
check linear/any.hpp 15 17
check io.hpp 22 31
[ ! -e /usr/include/eigen3/Eigen/Core ] || check calibration.hpp 31 45
exit $failed
