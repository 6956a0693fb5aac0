#!/usr/bin/env bash
# run.sh SEED [COUNT]: do the tests notice? Draws COUNT (default 40) places in include/planish by the seed, makes one
# small change there at a time, an operator, a bound or a way of rounding, in a copy of the tree, and runs the tests
# that include the header until one fails. A change that does not compile is drawn again. The last line says
# "N of COUNT caught"; each survivor is named before it.
#
# Everything lies in build/mutation. Run again with the same seed, over the same tree, it goes on where it stopped;
# PLANISH_MUTATION_MINUTES=M stops it after so long, and the last line then counts what was tried.
# The reference host's tests are not among those run, as they would take most of the time.
set -uo pipefail
cd "$(dirname "$0")/../.."
. cmake/packages.sh
seed=${1:?SEED is missing} count=${2:-40} minutes=${PLANISH_MUTATION_MINUTES:-0}
[[ "$seed$count$minutes" =~ ^[0-9]+$ ]] || { echo "SEED, COUNT and minutes are whole numbers" >&2; exit 2; }
install_missing "${build_packages[@]}" "${test_packages[@]}" || exit 2

root=$PWD work=$PWD/build/mutation
tree=$work/tree build=$work/build
export PLANISH_SHARED_DATA=${PLANISH_SHARED_DATA:-$(realpath -m ../shared/data)}
sources=$(find include tests cmake CMakeLists.txt -type f | sort)
mark=$(cat $sources | sha256sum | cut -c1-12)
results=$work/results-$seed-$mark
mkdir -p "$tree"
touch "$results"

# A fresh copy when the sources are others; the build folder stays, so only what changed is built again.
if [ "$(cat "$work/mark" 2>/dev/null)" != "$mark" ]; then
  rm -rf "$tree" "$work/includes"
  mkdir -p "$tree"
  cp -rp include tests cmake CMakeLists.txt "$tree" || exit 1
  mkdir -p "$tree/docs" && cp -p README.md "$tree"
  echo "$mark" >"$work/mark"
fi
cmake -S "$tree" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE="-O1 -DNDEBUG" \
  -DPLANISH_TEST_ARCHS= -DPLANISH_TEST_LAYER_ARCHS= -DPLANISH_BUILD_BENCH=OFF -DPLANISH_BUILD_EXAMPLES=OFF -DPLANISH_INSTALL=OFF -DPLANISH_WARNINGS_AS_ERRORS=OFF \
  "${launcher[@]}" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }

# includes/FOLDER: the headers that the tests of a folder include.
if [ ! -d "$work/includes" ]; then
  mkdir "$work/includes"
  for folder in "$tree"/tests/*/; do
    folder=$(basename "$folder")
    compgen -G "$tree/tests/$folder/*_test.cpp" >/dev/null && [ "$folder" != llama ] || continue
    printf '#include "%s"\n' "$tree/tests/$folder"/*_test.cpp |
      g++ -x c++ - -std=c++20 -march=native -MM -I"$tree/include" -I"$tree/tests" -I/usr/include/eigen3 2>/dev/null |
      tr -s ' \\' '\n' | grep "^$tree/include/" | sed "s|^$tree/||" | sort -u >"$work/includes/$folder"
  done
fi

# The tests to run for a header: those of its own layer first, then those that include the least.
folders_of() {
  local layer=${1#include/planish/} with
  layer=${layer%%/*}
  with=$(cd "$work/includes" && grep -lx "$1" -- * | xargs -r wc -l | sort -n | awk '$2 != "total" { print $2 }')
  grep -x "$layer" <<<"$with"
  grep -vx "$layer" <<<"$with"
}

# All places, in the order that the seed gives them.
awk -f tests/mutation/places.awk $(find include/planish -name '*.hpp' | sort) |
  awk -v state="$((seed % 2147483646 + 1))" '
    { state = state * 16807 % 2147483647; printf "%010d\t%s\n", state, $0 }' | sort | cut -f 2- >"$work/places"

change() { # change FILE LINE COLUMN FROM TO: writes the changed header into the tree
  awk -v line="$2" -v column="$3" -v from="$4" -v to="$5" '
    FNR == line { $0 = substr($0, 1, column - 1) to substr($0, column + length(from)) } { print }' "$1" >"$tree/$1"
}
restore() { cp "$root/$1" "$tree/$1"; }

judge() { # judge FILE: prints "caught FOLDER", "survived" or "redrawn"
  local folder first=1
  for folder in $(folders_of "$1"); do
    if ! cmake --build "$build" --target "test-$folder" >"$work/log" 2>&1; then
      grep -q "error:" "$work/log" && echo redrawn && return
      echo "caught $folder" && return # the linker or a static check of another kind
    fi
    (cd "$tree" && timeout 300 "$build/tests/test-$folder" --no-version) >"$work/log" 2>&1 || { echo "caught $folder"; return; }
    first=0
  done
  [ "$first" = 0 ] && echo survived || echo redrawn # nothing includes it
}

began=$SECONDS
while IFS=$'\t' read -r file line column from to; do
  tried=$(grep -vc "^redrawn" "$results")
  [ "$tried" -lt "$count" ] || break
  where="$file:$line:$column: '$from' became '$to'"
  grep -qF "$where" "$results" && continue
  if [ "$minutes" -gt 0 ] && [ $((SECONDS - began)) -ge $((minutes * 60)) ]; then
    echo "stopped after $minutes minutes"
    break
  fi
  change "$file" "$line" "$column" "$from" "$to"
  verdict=$(judge "$file")
  restore "$file"
  echo "$verdict $where" >>"$results"
  echo "$verdict $where"
done <"$work/places"

echo
grep "^survived" "$results"
tried=$(grep -vc "^redrawn" "$results")
echo "$(grep -c "^caught" "$results") of $tried caught"
