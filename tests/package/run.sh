#!/usr/bin/env bash
# run.sh CMAKE BUILD_DIR COMPILER [LAUNCHER]: installs planish into a folder and builds a consumer against it with
# find_package; then the same consumer with add_subdirectory.
set -eu
cmake=$1 build=$2 compiler=$3 launcher=${4:-}
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
work=$build/package
rm -rf "$work"
mkdir -p "$work"

consume() { # consume NAME OPTION...
  local name=$1
  shift
  "$cmake" -S "$here/consumer" -B "$work/$name" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" \
    ${launcher:+-DCMAKE_CXX_COMPILER_LAUNCHER="$launcher"} "$@" >"$work/$name.log" 2>&1 &&
    "$cmake" --build "$work/$name" >>"$work/$name.log" 2>&1 || { cat "$work/$name.log"; return 1; }
  "$work/$name/consumer"
  "$work/$name/consumer-io"
}

"$cmake" --install "$build" --prefix "$work/prefix" >/dev/null
if grep -rl "$source" "$work/prefix"; then echo "the installed package names the folder it came from" >&2; exit 1; fi
consume installed -DCMAKE_PREFIX_PATH="$work/prefix"
consume subdirectory -DPLANISH_SOURCE="$source"
