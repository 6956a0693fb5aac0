#!/usr/bin/env bash
# planted_violations.sh CMAKE: the layering check must name every violation planted here.
set -u
cmake=$1
check=$(cd "$(dirname "$0")/../../cmake" && pwd)/CheckLayering.cmake
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=0

plant() { # plant PATH LINE EXPECTED: a header with this line must fail with this sentence
  mkdir -p "$tree/core" "$tree/linear" "$tree/kernels/cpu" "$tree/$(dirname "$1")"
  printf '#pragma once\n' >"$tree/core/index.hpp"
  printf '#pragma once\n' >"$tree/linear/any.hpp"
  printf '#pragma once\nPLANISH_ENTRY void run() {}\n' >"$tree/kernels/cpu/body.hpp"
  printf '%b\n' "$2" >"$tree/$1"
  local said
  if said=$("$cmake" -DINCLUDE_DIR="$tree" -P "$check" 2>&1); then said="(nothing)"; fi
  if [[ "$(tr -s ' \n' ' ' <<<"$said")" != *"$3"* ]]; then
    echo "planted '$2' in $1: expected '$3', got: $said"
    failed=1
  fi
  rm -f "$tree/$1"
}

once='#pragma once\n'
plant core/a.hpp "$once#include <planish/linear/any.hpp>" "'core' may not include <planish/linear/any.hpp>"
plant transform/a.hpp "$once#  include <planish/quantizer/b.hpp>" "<planish/quantizer/b.hpp> does not exist"
plant linear/a.hpp "$once#include <Eigen/Core>" "<Eigen/Core> does not belong in 'linear'"
plant kernels/cpu/a.hpp "$once#include <immintrin.h>" "<immintrin.h> does not belong in 'kernels/cpu'"
plant kernels/reference/a.hpp "$once#include <xsimd/xsimd.hpp>" "does not belong in 'kernels/reference'"
plant core/a.hpp "$once#include <thread>" "<thread> does not belong in 'core'"
plant io/a.hpp "$once#include <iostream>" "<iostream> does not belong in 'io'"
plant linear/a.hpp "$once#include <planish/kernels/cpu/body.hpp>" "include what declares them"
plant core/a.hpp "$once#include \"index.hpp\"" "include by <planish/...>"
plant core/a.hpp "#include <planish/core/index.hpp>" "no #pragma once"
plant misc/a.hpp "$once" "'misc' is not a layer"
plant core/a.hpp "$once$(printf '\\n%.0s' {1..301})" "at most 300"
exit "$failed"
