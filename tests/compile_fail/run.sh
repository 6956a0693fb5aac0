#!/usr/bin/env bash
# run.sh [-c COMPILER]... [CASE...]: each CASE.cpp misuses one template of the public headers. It must fail to compile,
# and the first error must be the sentence after "// expect:", in one line that is not long. "// flags:" adds options.
# Without -c: g++ and clang++, as far as they are here.
set -u
here=$(cd "$(dirname "$0")" && pwd)
compilers=()
while [ "${1:-}" = -c ]; do compilers+=("$2"); shift 2; done
if [ ${#compilers[@]} -eq 0 ]; then
  for name in g++ clang++; do if command -v "$name" >/dev/null; then compilers+=("$name"); fi; done
fi
if [ $# -eq 0 ]; then for case in "$here"/*.cpp; do set -- "$@" "$(basename "$case" .cpp)"; done; fi
most=320  # characters of the first error without the path in front of it

failed=0 count=0
for compiler in "${compilers[@]}"; do
  for case; do
    source=$here/$case.cpp
    expected=$(sed -n 's,^// expect: ,,p' "$source")
    flags=$(sed -n 's,^// flags: ,,p' "$source")
    # shellcheck disable=SC2086
    if said=$("$compiler" -std=c++20 -fsyntax-only -Wno-unused -I "$here/../../include" $flags "$source" 2>&1); then
      echo "$compiler compiles $case"
      failed=1
      continue
    fi
    first=$(grep -m 1 -E '(fatal )?error: ' <<<"$said")
    first=${first#*error: }
    if [ -z "$expected" ] || [[ $first != *"$expected"* ]]; then
      echo "$compiler, $case: expected '$expected' first, got: $first"
      failed=1
    elif [ ${#first} -gt $most ]; then
      echo "$compiler, $case: the first error has ${#first} characters, at most $most"
      failed=1
    fi
    count=$((count + 1))
  done
done
echo "$count misuses tried with ${compilers[*]}"
exit "$failed"
