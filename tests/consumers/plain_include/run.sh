#!/usr/bin/env bash
# -I and nothing else, with every compiler that is here, on three instruction sets.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
for compiler in $(compilers); do
  for arch in "" -march=haswell -march=icelake-server; do
    # shellcheck disable=SC2086
    compile "$compiler" "consumer$arch" -I "$PREFIX/include" $arch "$PROGRAM/main.cpp" "$PROGRAM/layer.cpp"
  done
  "$WORK/consumer"
done
