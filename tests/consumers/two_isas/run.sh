#!/usr/bin/env bash
# Several instruction sets in one program: examples/dispatch as a project of its own, on the installed copy.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
for level in 0 2; do
  configure "$SOURCE/examples/dispatch" "O$level" -DCMAKE_PREFIX_PATH="$PREFIX" -DCMAKE_CXX_FLAGS="-O$level ${warnings[*]}"
  build_and_run "O$level" example-dispatch
  program=$WORK/O$level/example-dispatch
  for name in $("$program" | awk '/the same bits/ { print $1 }'); do
    "$program" "$name" | grep "^runs $name," || { echo "'$program $name' runs another path"; exit 1; }
  done
  status=0
  "$program" teapot || status=$?
  [ "$status" = 2 ] || { echo "an unknown instruction set is taken for one"; exit 1; }
  bash "$SOURCE/tests/abi/check_isolated.sh" nm "$WORK/O$level"/dispatch-*.o
done
