#!/usr/bin/env bash
# run.sh SEED [COUNT]: do the tests notice? Draws COUNT (default 40) places in include/planish by the seed, makes one
# small change there at a time, an operator, a bound or a way of rounding, in a copy of the tree, and runs the tests
# that include the header until one fails: built for this machine, and where that has AVX-512, what survives once more
# for AVX2, whose code is another. A change that does not compile, or that both drop before they compile, is drawn again.
# The last line says "N of COUNT caught"; each survivor is named before it.
#
# Everything lies in build/mutation. Run again with the same seed, over the same tree, it goes on where it stopped;
# PLANISH_MUTATION_MINUTES=M stops it after so long, and the last line then counts what was tried.
# PLANISH_MUTATION_WORKERS=N tries N places at a time, each in a copy of its own: the same places, the same verdicts.
# The reference host's tests are not among those run, as they would take most of the time.
set -uo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. cmake/packages.sh
seed=${1:?SEED is missing} count=${2:-40} minutes=${PLANISH_MUTATION_MINUTES:-0}
workers=${PLANISH_MUTATION_WORKERS:-1}
[[ "$seed$count$minutes$workers" =~ ^[0-9]+$ ]] || { echo "SEED, COUNT, minutes and workers are whole numbers" >&2; exit 2; }
install_missing "${build_packages[@]}" "${test_packages[@]}" || exit 2

root=$PWD work=$PWD/build/mutation
export PLANISH_SHARED_DATA=${PLANISH_SHARED_DATA:-$(realpath -m ../shared/data)}
sources=$(find include tests cmake CMakeLists.txt -type f | sort)
mark=$(cat $sources | sha256sum | cut -c1-12)
results=$work/results-$seed-$mark
mkdir -p "$work"
touch "$results"

# What tests are built for. The second is built only for what survives the first.
archs=(native)
grep -qw avx512f /proc/cpuinfo 2>/dev/null && archs+=(haswell)

# Fresh copies when the sources are others; the build folders stay, so only what changed is built again. Paths inside a
# worker's folder are the same for all, so that a compiler cache compiles what no change touches once for all of them.
prepare() { # prepare WORKER: sets tree, builds and log
  tree=$work/worker-$1/tree builds=$work/worker-$1/build log=$work/worker-$1/log
  if [ "$(cat "$tree/mark" 2>/dev/null)" != "$mark" ]; then
    rm -rf "$tree"
    mkdir -p "$tree"
    cp -rp include tests cmake examples docs CMakeLists.txt README.md "$tree" || return 1
    echo "$mark" >"$tree/mark"
  fi
  local arch
  for arch in "${archs[@]}"; do
    cmake -S "$tree" -B "$builds-$arch" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE="-O1 -DNDEBUG" \
      -DPLANISH_ARCH="$arch" -DPLANISH_TOGETHER=ON -DPLANISH_TEST_ARCHS= -DPLANISH_TEST_LAYER_ARCHS= \
      -DPLANISH_BUILD_BENCH=OFF -DPLANISH_BUILD_EXAMPLES=OFF -DPLANISH_INSTALL=OFF -DPLANISH_WARNINGS_AS_ERRORS=OFF \
      "${launcher[@]}" >"$log" 2>&1 || { cat "$log" >&2; return 1; }
  done
}

# includes-MARK/FOLDER: the headers that the tests of a folder include.
includes=$work/includes-$mark
if [ ! -d "$includes" ]; then
  mkdir "$includes"
  for folder in tests/*/; do
    folder=$(basename "$folder")
    compgen -G "tests/$folder/*_test.cpp" >/dev/null && [ "$folder" != llama ] || continue
    printf '#include "%s"\n' "$root/tests/$folder"/*_test.cpp |
      g++ -x c++ - -std=c++20 -march=native -MM -I"$root/include" -I"$root/tests" -I/usr/include/eigen3 2>/dev/null |
      tr -s ' \\' '\n' | grep "^$root/include/" | sed "s|^$root/||" | sort -u >"$includes/$folder"
  done
fi

# The tests to run for a header: those of its own layer first, then those that include the least.
folders_of() {
  local layer=${1#include/planish/} with
  layer=${layer%%/*}
  with=$(cd "$includes" && grep -lx "$1" -- * | xargs -r wc -l | sort -n | awk '$2 != "total" { print $2 }')
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
compiled() { # compiled FILE: what is compiled of the header in the tree and of those that it includes
  local arch
  for arch in "${archs[@]}"; do
    (cd "$tree" && g++ -x c++ "$1" -std=c++20 -march="$arch" -E -P -Iinclude -I/usr/include/eigen3 2>/dev/null | sha256sum) ||
      echo "not known $RANDOM" # then it is judged
  done
}

judge_for() { # judge_for ARCH FILE: prints "caught FOLDER", "survived" or "redrawn"
  local folder first=1 build=$builds-$1
  for folder in $(folders_of "$2"); do
    if ! cmake --build "$build" --target "test-$folder" >"$log" 2>&1; then
      grep -q "error:" "$log" && echo redrawn && return
      echo "caught $folder" && return # the linker or a static check of another kind
    fi
    (cd "$tree" && timeout 300 "$build/tests/test-$folder" --no-version) >"$log" 2>&1 || { echo "caught $folder"; return; }
    first=0
  done
  [ "$first" = 0 ] && echo survived || echo redrawn # nothing includes it
}
judge() { # judge FILE: the same, for all that tests are built for
  local arch verdict
  for arch in "${archs[@]}"; do
    verdict=$(judge_for "$arch" "$1")
    [ "$verdict" = survived ] || break
  done
  echo "$verdict"
}

# verdicts: what is known, in the order of the places, up to COUNT that are not redrawn; fails where one is missing.
verdicts() {
  awk -F '\t' -v count="$count" -v results="$results" '
    BEGIN {
      while ((getline line < results) > 0) if (match(line, / include\/.*/)) known[substr(line, RSTART + 1)] = line
    }
    tried < count {
      where = $1 ":" $2 ":" $3 ": \x27" $4 "\x27 became \x27" $5 "\x27"
      if (!(where in known)) { missing = 1; exit }
      print known[where]
      if (known[where] !~ /^redrawn/) ++tried
    }
    END { exit missing }' "$work/places"
}

# Every worker takes the next place until COUNT are judged: what is taken is counted in `next` under a lock.
work_through() { # work_through WORKER
  export CCACHE_BASEDIR=$work/worker-$1
  prepare "$1" || return 1
  local number place file line column from to where whole verdict
  while true; do
    if [ "$minutes" -gt 0 ] && [ $((SECONDS - began)) -ge $((minutes * 60)) ]; then break; fi
    number=$(flock "$work/lock" bash -c 'n=$(($(cat "$1") + 1)); echo "$n" >"$1"; echo "$n"' - "$work/next")
    place=$(sed -n "${number}p" "$work/places")
    [ -n "$place" ] && ! verdicts >/dev/null || break
    IFS=$'\t' read -r file line column from to <<<"$place"
    where="$file:$line:$column: '$from' became '$to'"
    grep -qF "$where" "$results" && continue
    whole=$(compiled "$file")
    change "$file" "$line" "$column" "$from" "$to"
    verdict=redrawn
    [ "$(compiled "$file")" = "$whole" ] || verdict=$(judge "$file")
    restore "$file"
    echo "$verdict $where" >>"$results"
    echo "$verdict $where"
  done
}

began=$SECONDS
echo 0 >"$work/next"
[ "$workers" = 1 ] || export CMAKE_BUILD_PARALLEL_LEVEL=$((($(nproc) + workers - 1) / workers))
trap 'kill 0' INT TERM
for ((worker = 1; worker <= workers; ++worker)); do work_through "$worker" & done
wait

echo
judged=$(verdicts) || echo "not all of $count places are judged; the same command goes on"
grep "^survived" <<<"$judged"
echo "$(grep -c "^caught" <<<"$judged") of $(grep -vc "^redrawn" <<<"$judged") caught"
