#!/usr/bin/env bash
# Builds the tests of the run-time half for other processors with Debian's cross compilers and runs them under QEMU:
#
#   bash tests/emulated/run.sh [TARGET...]       the last line says "N passed, N failed"
#
#   neon-i8mm neon-dotprod neon    AArch64, with the integer products of 8.6, of 8.2, and without
#   i686                           32 bits, SSE2, by this processor itself where its system runs such programs
#   refused                        what must end in one sentence: big-endian, no vector unit
#
# FOLDERS names the folders of tests [core packing quantizer kernels transform backend linear kv_cache io].
set -uo pipefail
cd "$(dirname "$0")/../.."
. cmake/packages.sh
. tests/try.sh
targets=("$@")
[ $# -gt 0 ] || targets=(neon-i8mm neon-dotprod neon i686 refused)
read -ra folders <<<"${FOLDERS:-core packing quantizer kernels transform backend linear kv_cache io}"

install_missing g++-aarch64-linux-gnu:aarch64-linux-gnu-g++ g++-i686-linux-gnu:i686-linux-gnu-g++ \
  g++-s390x-linux-gnu:s390x-linux-gnu-g++ qemu-user-static:qemu-aarch64-static libxsimd-dev:xsimd/xsimd.hpp \
  doctest-dev:doctest/doctest.h || exit 2

build=build/emulated
mkdir -p "$build/headers"
for library in xsimd doctest; do # a folder without the headers of this machine's own C library
  found=/usr/include/$library
  [ -d "$found" ] || found=/usr/local/include/$library
  ln -sfn "$found" "$build/headers/$library"
done
common=(-std=c++20 -O1 -Wall -Wextra -Wconversion -Wshadow -Werror -Iinclude -Itests -isystem "$build/headers" -static)
cache=$(command -v ccache || true)

result() { # result STATUS WHAT
  if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "failed: $2"; fi
}
check() { # check EMULATOR COMPILER FLAGS...
  local emulator=$1 folder
  shift
  for folder in "${folders[@]}"; do
    began=$SECONDS
    build_tests "$folder" "$build/$target/$folder" $cache "$@" "${common[@]}" >"$build/$target-$folder.log" 2>&1 &&
      $emulator "$build/$target/$folder/tests" --no-version >>"$build/$target-$folder.log" 2>&1
    local status=$?
    [ $status = 0 ] || tail -n 20 "$build/$target-$folder.log"
    echo "$target: $folder, $((SECONDS - began)) s"
    result $status "$target $folder"
  done
}
refuses() { # refuses SENTENCE COMPILER FLAGS...: the first error of a program that includes planish
  local sentence=$1 said
  shift
  said=$(echo '#include <planish/planish.hpp>' | "$@" "${common[@]}" -fsyntax-only -x c++ - 2>&1 | grep -m 1 error)
  [[ $said == *"$sentence"* ]]
  result $? "$*: said '$said', expected '$sentence'"
}

for target in "${targets[@]}"; do
  case $target in
    neon) check qemu-aarch64-static aarch64-linux-gnu-g++ ;;
    neon-dotprod) check qemu-aarch64-static aarch64-linux-gnu-g++ -march=armv8.2-a+dotprod ;;
    neon-i8mm) check qemu-aarch64-static aarch64-linux-gnu-g++ -march=armv8.2-a+dotprod+i8mm ;;
    i686)
      echo 'int main() {}' | i686-linux-gnu-g++ -static -x c++ - -o "$build/plain" && "$build/plain" 2>"$build/log" &&
        itself=env || itself=qemu-i386-static
      check $itself i686-linux-gnu-g++ -msse2 -mfpmath=sse ;;
    refused)
      refuses "planish needs a little-endian target" s390x-linux-gnu-g++
      refuses "planish needs a vector unit" i686-linux-gnu-g++ ;;
    *) echo "no target $target" >&2; exit 2 ;;
  esac
done
finish
