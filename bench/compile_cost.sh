#!/usr/bin/env bash
# compile_cost.sh [TIMES]: what a unit costs that includes planish: user time of the compiler, the least of TIMES tries
# (default 3), as a multiple of a unit that includes <xsimd/xsimd.hpp> and <vector> alone and is compiled in turns with
# it, and the size of its object file. Each with the bodies in the unit (header-only), and with PLANISH_SEPARATE_BODIES,
# where another unit has them.
# CXX and CXXFLAGS say how; -std=c++20 -O2 -march=native otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."
times=${1:-3}
[[ "$times" =~ ^[1-9][0-9]*$ ]] || { echo "'$times' is no number of tries" >&2; exit 2; }
compiler=${CXX:-c++}
read -r -a flags <<<"${CXXFLAGS:--std=c++20 -O2 -march=native}"
eigen=$(echo '#include <Eigen/Core>' | "$compiler" -x c++ -std=c++20 -I/usr/include/eigen3 -fsyntax-only - 2>/dev/null && echo yes || true)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# compile UNIT OPTION...: user time; the object is left in $folder/unit.o
compile() {
  { TIMEFORMAT=%U; time "$compiler" "${flags[@]}" -Iinclude -isystem /usr/include/eigen3 "${@:2}" -c "$1" \
    -o "$folder/unit.o" >&2; } 2>&1 | tail -n 1
}
least() { printf '%s\n' "$@" | sort -g | head -n 1; } # least SECONDS...

printf '#include <vector>\n#include <xsimd/xsimd.hpp>\n' >"$folder/base.cpp"
printf '%s, %s; the unit of xsimd and <vector> takes %s s\n\n' "$("$compiler" --version | head -n 1)" "${flags[*]}" \
  "$(least "$(compile "$folder/base.cpp")" "$(compile "$folder/base.cpp")" "$(compile "$folder/base.cpp")")"
printf '%-38s %12s %8s %12s %8s\n' "" "header-only" "KiB" "separate" "KiB"
# measure UNIT OPTION...: "RATIO BYTES"; the two units in turns, for a shared machine is not as fast from minute to minute
measure() {
  local units=() bases=() size
  for ((i = 0; i < times; ++i)); do
    bases+=("$(compile "$folder/base.cpp")")
    units+=("$(compile "$@")")
  done
  size=$(stat -c %s "$folder/unit.o")
  awk "BEGIN { print $(least "${units[@]}") / $(least "${bases[@]}"), $size }"
}
row() { # row NAME UNIT
  local inline separate
  inline=$(measure "$2") && separate=$(measure "$2" -DPLANISH_SEPARATE_BODIES)
  awk -v name="$1" -v all="$inline $separate" 'BEGIN {
    split(all, n, " "); printf "%-38s %11.2fx %8.0f %11.2fx %8.0f\n", name, n[1], n[2] / 1024, n[3], n[4] / 1024 }'
}
include() { # include HEADER
  echo "#include <planish/$1>" >"$folder/unit.cpp"
  row "<planish/$1>" "$folder/unit.cpp"
}
include core/matrix_view.hpp
include transform/transform.hpp
include quantizer/quantizer.hpp
include kv_cache/kv_cache.hpp
include linear/quantized_linear.hpp
include linear/any.hpp
include planish.hpp
include io.hpp
[ -z "$eigen" ] || include calibration.hpp
for example in examples/01_*.cpp examples/04_*.cpp; do row "$(basename "$example")" "$example"; done

for bodies in bodies.hpp calibration_bodies.hpp; do
  echo "#include <planish/$bodies>" >"$folder/unit.cpp"
  awk -v name="<planish/$bodies>" -v all="$(measure "$folder/unit.cpp" -DPLANISH_SEPARATE_BODIES)" 'BEGIN {
    split(all, n, " "); printf "%-38s %12s %8s %11.2fx %8.0f\n", name, "", "", n[1], n[2] / 1024 }'
done
