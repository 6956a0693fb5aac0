#!/usr/bin/env bash
# lean.sh COMPILER INCLUDE_DIR [OPTION...]: what a unit costs that includes an umbrella and calls nothing, in memory that
# g++ takes, which is the same from run to run: at most so many times what xsimd and <vector> take. An inline function
# compiles what it calls in every unit; PLANISH_LAZY (core/abi.hpp) before it keeps that to the units that call it.
set -u
compiler=$1 include=$2
shift 2
"$compiler" --version | head -n 1 | grep -qi clang && { echo "skipped: only g++ reports its memory"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# kilobytes LINE...: of a unit of these lines
kilobytes() {
  printf '%s\n' "$@" >"$folder/unit.cpp"
  "$compiler" -std=c++20 -O2 -march=native -I"$include" -isystem /usr/include/eigen3 "${options[@]}" -ftime-report \
    -c "$folder/unit.cpp" -o "$folder/unit.o" 2>&1 | awk '
      $1 == "TOTAL" { size = $NF; unit = substr(size, length(size)); sub(/[kMG]$/, "", size)
                      print int(size * (unit == "G" ? 1048576 : unit == "M" ? 1024 : 1)) }'
}
options=("$@")
base=$(kilobytes '#include <vector>' '#include <xsimd/xsimd.hpp>')
[ -n "$base" ] || { echo "$compiler does not report its memory"; exit 77; }
failed=0
check() { # check HEADER TENTHS
  local size
  size=$(kilobytes "#include <planish/$1>")
  [ -n "$size" ] || { echo "<planish/$1> does not compile"; failed=1; return; }
  printf '<planish/%s>: %d.%02d times xsimd and <vector>, at most %d.%d\n' "$1" $((size / base)) \
    $((size * 100 / base % 100)) $(($2 / 10)) $(($2 % 10))
  [ $((size * 10)) -le $((base * $2)) ] || failed=1
}
check planish.hpp 15
check io.hpp 22
[ ! -e /usr/include/eigen3/Eigen/Core ] || check calibration.hpp 31
exit $failed
