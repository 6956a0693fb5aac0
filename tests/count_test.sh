#!/usr/bin/env bash
# The counting of tests/count.sh on a made-up run: one of each verdict.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/output" <<'OUTPUT'
1/6 Test #1: good ..............   Passed    0.00 sec
2/6 Test #2: script ............   Passed    0.00 sec
3/6 Test #3: slow ..............***Timeout   1.00 sec
4/6 Test #4: absent ............***Skipped   0.00 sec
5/6 Test #5: bad ...............***Failed    0.00 sec
6/6 Test #6: gone ..............***Not Run   0.00 sec
OUTPUT
cat >"$work/log" <<'LOG'
1/6 Test: good
[doctest] test cases: 7 | 7 passed | 0 failed | 1 skipped
4/6 Test: absent
skipped: no model
5/6 Test: bad
[doctest] test cases: 5 | 3 passed | 2 failed | 0 skipped
LOG
said=$(bash "$here/count.sh" "$work/output" "$work/log")
status=$?
last=$(tail -n 1 <<<"$said")
[ "$last" = "11 passed, 4 failed" ] && [ "$status" = 1 ] && [[ "$said" == *"absent skipped: no model"* ]] && exit 0
echo "unexpected: $said (status $status)"
exit 1
