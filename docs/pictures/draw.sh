#!/usr/bin/env bash
# Draws the computed pictures of docs/concepts.md again and gives every picture the styles of style.css.
#
#   bash docs/pictures/draw.sh [FOLDER [PROGRAM]]     FOLDER: where to, by default here; PROGRAM: draw, built already
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here} program=${2:-}
if [ -z "$program" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  program=$work/draw
  "${CXX:-g++}" -std=c++20 -O2 -I "$here/../../include" "$here"/*.cpp -o "$program"
fi
mkdir -p "$folder"
[ "$folder" -ef "$here" ] || cp "$here"/*.svg "$folder"
"$program" "$folder"
for picture in "$folder"/*.svg; do
  awk -v style="$here/style.css" '
    /^<style>$/ { print; while ((getline line <style) > 0) print line; close(style); skip = 1; next }
    /^<\/style>$/ { skip = 0 }
    !skip' "$picture" >"$picture.new"
  mv "$picture.new" "$picture"
done
