#!/usr/bin/env bash
# Nothing leaks: a host full of ordinary names and strict flags is, behind planish, what it was before.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
configure "$here" subdirectory -DPLANISH_SOURCE="$SOURCE"
build_and_run subdirectory host
configure "$here" installed -DCMAKE_PREFIX_PATH="$PREFIX"
build_and_run installed host

# Every macro that a header of planish defines begins with PLANISH_.
for compiler in $(compilers); do
  for umbrella in planish io calibration; do
    includes=(-I "$PREFIX/include")
    if [ "$umbrella" = calibration ]; then
      [ -d /usr/include/eigen3 ] || continue
      includes+=(-isystem /usr/include/eigen3)
    fi
    echo "#include <planish/$umbrella.hpp>" >"$WORK/macros.cpp"
    "$compiler" -std=c++20 -march=haswell "${includes[@]}" -E -dD "$WORK/macros.cpp" >"$WORK/macros.txt"
    strangers=$(awk '/^# [0-9]+ "/ { ours = $3 ~ /\/include\/planish\// }
                     ours && /^#define / { ++count; if ($2 !~ /^PLANISH_/) print $2 }
                     END { if (count < 5) print "only " count " macros were seen: is this check alive?" }' "$WORK/macros.txt")
    [ -z "$strangers" ] || { echo "$compiler, planish/$umbrella.hpp defines: $strangers"; exit 1; }
  done
done

# A shared library that hides its names exports none of planish.
for compiler in $(compilers); do
  compile "$compiler" library.so -shared -fPIC -fvisibility=hidden -I "$PREFIX/include" "$PROGRAM/layer.cpp"
  exported=$(nm -DC --defined-only "$WORK/library.so" | grep ' planish::' | head -n 3) || true
  [ -z "$exported" ] || { echo "$compiler exports $exported"; exit 1; }
done
