#!/usr/bin/env bash
# find_package(planish): the installed package, whole and by components.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
configure "$here" build -DCMAKE_PREFIX_PATH="$PREFIX"
build_and_run build consumer consumer-io consumer-calibration

# A version that is not there is refused, and so are a component, and a system without xsimd.
configure "$here/refused" refused -DCMAKE_PREFIX_PATH="$PREFIX"
