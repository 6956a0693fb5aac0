#!/usr/bin/env bash
# check_isolated.sh NM OBJECT...: nothing is defined for the linker to choose from: no weak and no unique symbol, and no
# global one in two objects.
set -eu
nm=$1
shift
failed=0
for object; do
  weak=$("$nm" -C --defined-only "$object" | awk '$2 ~ /^[WwVvu]$/' | head -n 5)
  [ -z "$weak" ] || { echo "$object: the linker may take another unit's body of:"; echo "$weak"; failed=1; }
  globals=$("$nm" --defined-only --extern-only "$object" | wc -l)
  [ "$globals" -gt 0 ] || { echo "$object: nothing can be called"; failed=1; }
done
twice=$(for object; do "$nm" --defined-only --extern-only "$object" | awk '{ print $3 }'; done | sort | uniq -d)
[ -z "$twice" ] || { echo "defined by two objects: $twice"; failed=1; }
exit "$failed"
