#!/usr/bin/env bash
# same_output.sh PROGRAM...: all programs print the same lines.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
first=""
for program; do
  "$program" >"$work/lines" || { echo "$program failed"; exit 1; }
  [ -s "$work/lines" ] || { echo "$program printed nothing"; exit 1; }
  if [ -z "$first" ]; then
    first=$program
    mv "$work/lines" "$work/first"
  else
    diff "$work/first" "$work/lines" || { echo "lines marked < are of $first, those marked > of $program"; exit 1; }
  fi
done
