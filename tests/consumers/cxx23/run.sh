#!/usr/bin/env bash
# A host that is compiled as C++23.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
for compiler in $(compilers); do
  compile "$compiler" consumer -std=c++2b -I "$PREFIX/include" "$PROGRAM/main.cpp" "$PROGRAM/layer.cpp"
  "$WORK/consumer"
done
configure "$here" build -DCMAKE_PREFIX_PATH="$PREFIX"
build_and_run build consumer
