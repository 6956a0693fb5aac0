#!/usr/bin/env bash
# -fno-exceptions -fno-rtti, with every compiler that is here.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
for compiler in $(compilers); do
  compile "$compiler" consumer -fno-exceptions -fno-rtti -I "$PREFIX/include" "$PROGRAM/main.cpp" "$PROGRAM/layer.cpp"
  "$WORK/consumer"
done
