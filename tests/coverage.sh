#!/usr/bin/env bash
# coverage.sh [FOLDER...]: line coverage of include/planish by the tests of these folders of tests/ (default: all but
# llama), measured by clang. Prints a line per header, worst first, and the lines that no test reaches; both are also in
# build/coverage/report.txt and build/coverage/uncovered.txt. The last line is the total. Without FOLDERs it fails below
# 95 %, and where a line that is not reached has no reason in tests/coverage_reasons.txt.
set -uo pipefail
cd "$(dirname "$0")/.."
. cmake/packages.sh
install_missing "${build_packages[@]}" "${test_packages[@]}" "${clang_packages[@]}" llvm:llvm-cov || exit 2

folders=("$@")
if [ $# = 0 ]; then
  for tests in tests/*/; do
    folder=$(basename "$tests")
    compgen -G "$tests*_test.cpp" >/dev/null && [ "$folder" != llama ] && folders+=("$folder")
  done
fi
build=build/coverage
mkdir -p $build
flags="-O0 -g1 -fprofile-instr-generate -fcoverage-mapping"
if ! { cmake -S . -B $build -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_CXX_FLAGS_RELEASE="$flags" -DPLANISH_TEST_ARCHS= -DPLANISH_TEST_LAYER_ARCHS= -DPLANISH_BUILD_BENCH=OFF -DPLANISH_BUILD_EXAMPLES=OFF \
  -DPLANISH_INSTALL=OFF "${launcher[@]}" && cmake --build $build --target "${folders[@]/#/test-}"; } >$build/log 2>&1; then
  cat $build/log >&2
  exit 1
fi

rm -f $build/*.profraw
objects=()
for folder in "${folders[@]}"; do
  LLVM_PROFILE_FILE=$build/$folder.profraw "$build/tests/test-$folder" --no-version >$build/log 2>&1 ||
    { cat $build/log >&2; echo "tests/$folder failed" >&2; exit 1; }
  objects+=(-object "$build/tests/test-$folder")
done
llvm-profdata merge -sparse $build/*.profraw -o $build/all.profdata || exit 1

# One record per header from lcov's format: lines that are code, lines that ran.
llvm-cov export -format=lcov -instr-profile=$build/all.profdata "${objects[@]}" 2>/dev/null |
  awk -v uncovered=$build/uncovered.txt '
    BEGIN { printf "" >uncovered }
    /^SF:/ { file = $0; wanted = sub(/^.*\/include\/planish\//, "include/planish/", file); next }
    wanted && /^DA:/ {
      split(substr($0, 4), at, ",")
      ++lines[file]; ++all
      if (at[2] > 0) { ++ran[file]; ++all_ran } else print file ":" at[1] >uncovered
    }
    END {
      for (file in lines) printf "%6.1f %% %5d of %5d  %s\n", 100 * ran[file] / lines[file], ran[file], lines[file], file
      printf "%6.1f %% %5d of %5d  lines that some test instantiates\n", all ? 100 * all_ran / all : 0, all_ran, all
    }' >$build/unsorted.txt
{ grep -v "some test" $build/unsorted.txt | sort -n; grep "some test" $build/unsorted.txt; } >$build/report.txt
sort -t: -k1,1 -k2,2n $build/uncovered.txt -o $build/uncovered.txt
echo "not reached:"
# Neighbouring lines as a range.
awk -F: '
  function told() { if (file != "") printf "  %s:%s\n", file, first == last ? first : first "-" last }
  $1 == file && $2 == last + 1 { last = $2; next }
  { told(); file = $1; first = last = $2 }
  END { told() }' $build/uncovered.txt
status=0
if [ $# = 0 ]; then
  bash tests/coverage_reasons.sh $build/uncovered.txt tests/coverage_reasons.txt || status=1
  awk '/some test/ { exit $1 < 95 }' $build/report.txt || { echo "less than 95 % of the lines are reached"; status=1; }
fi
cat $build/report.txt
exit $status
