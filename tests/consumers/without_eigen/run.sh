#!/usr/bin/env bash
# Eigen is nowhere: the run-time half and files work, and planish::calibration is refused.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
# A copy that was installed where Eigen was not found, as distributions do it, is the same as any other.
quietly "$CMAKE" -S "$SOURCE" -B "$WORK/copy-build" -G Ninja -DCMAKE_CXX_COMPILER="$CXX" -DPLANISH_BUILD_TESTS=OFF \
  -DPLANISH_BUILD_EXAMPLES=OFF -DPLANISH_BUILD_BENCH=OFF -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON
quietly "$CMAKE" --install "$WORK/copy-build" --prefix "$WORK/copy"
diff -r "$WORK/copy" "$PREFIX" || { echo "the installed package depends on whether Eigen was found"; exit 1; }

for how in -DCMAKE_PREFIX_PATH="$PREFIX" -DPLANISH_SOURCE="$SOURCE"; do
  rm -rf "$WORK/build"
  configure "$here" build -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON "$how"
  build_and_run build consumer consumer-io
done
