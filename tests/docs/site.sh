#!/usr/bin/env bash
# docs/site.sh makes a site without a warning; every public header and every document has its page; every relative link
# and anchor leads somewhere. Skipped where doxygen is not installed.
set -u
cd "$(dirname "$0")/../.."
work=$(mktemp -d) failed=0
trap 'rm -rf "$work"' EXIT
said=$(bash docs/site.sh "$work/site" 2>&1)
status=$?
[ $status != 77 ] || { echo "skipped: $said"; exit 77; }
[ $status = 0 ] && [ "$said" = "$(realpath "$work/site")/index.html" ] || { echo "$said"; echo "docs/site.sh: $status"; exit 1; }

while IFS= read -r header; do
  grep -q ">${header##*/}</a></td><td class=\"desc\">[^<]" "$work/site/files.html" || { echo "$header is not on the list of headers, or without a text"; failed=1; }
done < <(find include/planish -name '*.hpp' -not -path '*/kernels/*')
for page in index CHANGELOG concepts extending architecture numbers accuracy performance files annotated; do
  [ -s "$work/site/$page.html" ] || { echo "no $page.html"; failed=1; }
done
awk -f tests/docs/links.awk "$work"/site/*.html "$work"/site/*.html >"$work/broken" || failed=1
sed "s|$work/site/||g" "$work/broken"
! grep -lE '(src|href)="(https?:)?//[^"]*\.(css|js|woff2?|png)"' "$work"/site/*.html || { echo "pages load files of others"; failed=1; }

mkdir "$work/mine"
touch "$work/mine/thesis.tex"
! bash docs/site.sh "$work/mine" >/dev/null 2>&1 && [ -e "$work/mine/thesis.tex" ] || { echo "takes a folder that is not its own"; failed=1; }
bash docs/site.sh "$work/site" >/dev/null 2>&1 || { echo "does not replace its own site"; failed=1; }
exit $failed
