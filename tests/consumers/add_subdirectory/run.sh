#!/usr/bin/env bash
# add_subdirectory(planish): the tree itself, beside targets of the host.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
configure "$here" build -DPLANISH_SOURCE="$SOURCE"
build_and_run build consumer consumer-io
