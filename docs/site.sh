#!/usr/bin/env bash
# Makes a static site of the documents and a page for every public header.
#
#   bash docs/site.sh [FOLDER]        FOLDER: where to, by default build/site; open its index.html
#
# Needs doxygen 1.9 (Debian: doxygen). Ends with 77 where there is none.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
out=$(realpath -m -- "${1:-$root/build/site}")
if ! command -v doxygen >/dev/null; then
  echo "the site needs doxygen; install it first: sudo apt-get install doxygen" >&2
  exit 77
fi
cd "$root"
number() { sed -n "s/^#define PLANISH_VERSION_$1 //p" include/planish/core/version.hpp; }
mkdir -p "$out" || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{
  cat docs/site/Doxyfile
  echo "OUTPUT_DIRECTORY = \"$work/site\""
  echo "PROJECT_NUMBER = $(number MAJOR).$(number MINOR).$(number PATCH)"
} >"$work/Doxyfile"
mkdir "$work/site"
if ! doxygen "$work/Doxyfile" >"$work/log" 2>&1; then
  cat "$work/log" >&2
  exit 1
fi
sed "s|^$root/||" "$work/log" >&2
mkdir "$work/site/pictures"
cp docs/pictures/*.svg "$work/site/pictures"
rm -f "$work"/site/*.js "$work"/site/*.png "$work"/site/{tabs,doxygen}.css "$work"/site/doxygen.svg \
  "$work"/site/*-members.html "$work"/site/*_8md.html
for picture in docs/pictures/*.svg; do rm -f "$work/site/${picture##*/}"; done
for page in "$work"/site/*.html; do
  awk -f docs/site/page.awk "$page" >"$work/page"
  cp "$work/page" "$page"
done
# Whatever an earlier run left is replaced as a whole; only a folder that this script made is.
if [ -n "$(ls -A "$out")" ] && [ ! -e "$out/.planish-site" ]; then
  echo "$out: is not empty and was not made by this script; name another folder" >&2
  exit 1
fi
touch "$work/site/.planish-site"
find "$out" -mindepth 1 -delete
cp -r "$work/site/." "$out"
echo "$out/index.html"
