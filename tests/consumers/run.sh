#!/usr/bin/env bash
# run.sh [NAME...]: builds planish's consumers, each in the way its folder is named after, against a copy that is
# installed into a temporary prefix; all of them, or those named. The environment may bring CMAKE, CXX, LAUNCHER (such
# as ccache) and WORK (a folder to keep what was built). Exits with 0 if every consumer built, ran and got its number.
set -u
here=$(cd "$(dirname "$0")" && pwd)
export SOURCE PROGRAM=$here/program CMAKE=${CMAKE:-cmake} CXX=${CXX:-c++} LAUNCHER=${LAUNCHER:-}
SOURCE=$(cd "$here/../.." && pwd)
if [ -z "${WORK:-}" ]; then
  WORK=$(mktemp -d)
  trap 'rm -rf "$all"' EXIT
fi
mkdir -p "$WORK"
all=$(cd "$WORK" && pwd)
if [ $# -eq 0 ]; then
  for folder in "$here"/*/run.sh; do set -- "$@" "$(basename "$(dirname "$folder")")"; done
fi

# An installed copy of this tree that knows nothing of it: configured, not built, for there is nothing to build.
# install_copy NAME OPTION...
install_copy() {
  local name=$1
  shift
  rm -rf "${all:?}/$name" "$all/$name-build"
  "$CMAKE" -S "$SOURCE" -B "$all/$name-build" -G Ninja -DCMAKE_CXX_COMPILER="$CXX" -DPLANISH_BUILD_TESTS=OFF \
    -DPLANISH_BUILD_EXAMPLES=OFF -DPLANISH_BUILD_BENCH=OFF "$@" &&
    "$CMAKE" --install "$all/$name-build" --prefix "$all/$name"
}
export PREFIX=$all/prefix
log=$all/install.log
if ! install_copy prefix >"$log" 2>&1; then cat "$log"; echo "planish cannot be installed"; exit 1; fi
if grep -rl "$SOURCE" "$PREFIX"; then echo "the installed package names the folder it came from"; exit 1; fi

failed=0
for name; do
  if [ ! -f "$here/$name/run.sh" ]; then echo "there is no consumer named $name"; failed=1; continue; fi
  export WORK=$all/$name
  rm -rf "$WORK"
  mkdir -p "$WORK"
  echo "--- $name"
  bash "$here/$name/run.sh" || { echo "failed: $name"; failed=1; }
done
exit "$failed"
