#!/usr/bin/env bash
# count_lines.sh: counts the lines between the marks "planish: begin" and "planish: end" of this folder, blank ones
# aside, and compares with what the README says.
set -eu
cd "$(dirname "$0")"
lines=$(awk '/planish: end/ { on = 0 } on && NF { ++count } /planish: begin/ { on = 1 } END { print count + 0 }' *.c *.cpp)
said=$(sed -n 's/.*\*\*\([0-9]*\) lines\*\*.*/\1/p' README.md)
echo "$lines lines, the README says $said"
[ "$lines" = "$said" ] && [ "$lines" -lt 40 ]
