#!/usr/bin/env bash
# pictures.sh DRAW: the pictures of the documents are those that DRAW makes, and each has a title, the common styles with
# both colour schemes, and no font, script or file of anybody else.
set -u
cd "$(dirname "$0")/../.."
work=$(mktemp -d) failed=0
trap 'rm -rf "$work"' EXIT
bash docs/pictures/draw.sh "$work" "$1" || exit 1
for picture in docs/pictures/*.svg; do
  diff "$picture" "$work/${picture##*/}" >"$work/difference" ||
    { echo "$picture is not what docs/pictures/draw.sh makes:"; head -n 10 "$work/difference"; failed=1; }
  for part in "<title>" "prefers-color-scheme:dark" 'viewBox="0 0 360 '; do
    grep -q -e "$part" "$picture" || { echo "$picture has no $part"; failed=1; }
  done
  ! grep -qE '<script|<image|@font-face|@import|href=|url\([^#]' "$picture" || { echo "$picture needs something else"; failed=1; }
done
exit $failed
