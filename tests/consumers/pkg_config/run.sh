#!/usr/bin/env bash
# pkg-config: planish, planish-io and planish-calibration, without CMake.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
command -v pkg-config >/dev/null || { echo "skipped: there is no pkg-config"; exit 0; }
export PKG_CONFIG_PATH=$PREFIX/share/pkgconfig
flags() { # flags MODULE: its options, xsimd and Eigen as system headers, for their warnings are not the host's
  pkg-config --cflags --libs "$1" | sed 's/-I\([^ ]*eigen3\)/-isystem \1/'
}
[ "$(pkg-config --modversion planish)" = "$(pkg-config --modversion planish-calibration)" ]
# shellcheck disable=SC2046
{
  compile "$CXX" consumer $(flags planish) "$PROGRAM/main.cpp" "$PROGRAM/layer.cpp"
  compile "$CXX" consumer-io $(flags planish-io) "$PROGRAM/io.cpp"
}
"$WORK/consumer"
"$WORK/consumer-io"
if ! pkg-config --exists eigen3; then echo "without Eigen: planish-calibration is not tried"; exit 0; fi
# shellcheck disable=SC2046
compile "$CXX" consumer-calibration $(flags planish-calibration) "$PROGRAM/calibration.cpp"
"$WORK/consumer-calibration"
