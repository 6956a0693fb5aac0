#!/usr/bin/env bash
# tidy.sh [-march...]: clang-tidy with the list of .clang-tidy over every header of include/planish, for this machine and
# for AVX2, or for the instruction sets named. Exits with 1 where it finds something.
set -uo pipefail
cd "$(dirname "$0")/.."
. cmake/packages.sh
install_missing "${build_packages[@]}" clang-tidy:clang-tidy || exit 2
[ $# -gt 0 ] || set -- -march=native -march=haswell
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
printf '#include <planish/%s>\n' planish.hpp io.hpp calibration.hpp >"$folder/headers.cpp"
status=0
for arch; do
  echo "== $arch"
  clang-tidy --quiet --config-file=.clang-tidy "$folder/headers.cpp" -- -std=c++20 "$arch" -Iinclude \
    -isystem /usr/include/eigen3 2>"$folder/log" || { status=1; grep error "$folder/log"; }
done
exit $status
