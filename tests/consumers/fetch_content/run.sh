#!/usr/bin/env bash
# FetchContent: from a folder here, which a release's address takes the place of.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
configure "$here" build -DPLANISH_SOURCE="$SOURCE"
build_and_run build consumer
