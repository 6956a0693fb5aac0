#!/usr/bin/env bash
# What is costly to compile in a unit of its own, with every compiler that is here, on three instruction sets: the units
# that call it are small, and nothing is missing or twice there when they are linked.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
echo '#include <planish/bodies.hpp>' >"$WORK/bodies.cpp"
for compiler in $(compilers); do
  for arch in "" -march=haswell -march=icelake-server; do
    # shellcheck disable=SC2086
    compile "$compiler" "consumer$arch" -DPLANISH_SEPARATE_BODIES -I "$PREFIX/include" $arch \
      "$PROGRAM/main.cpp" "$PROGRAM/layer.cpp" "$WORK/bodies.cpp"
  done
  "$WORK/consumer"
done
