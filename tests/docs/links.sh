#!/usr/bin/env bash
# Every relative link and anchor of README.md, CHANGELOG.md and docs/ leads somewhere, and a planted one that does not is
# found.
set -u
cd "$(dirname "$0")/../.."
checker=tests/docs/links.awk failed=0
pages=(README.md CHANGELOG.md docs/*.md docs/decisions/*.md)
awk -f $checker "${pages[@]}" "${pages[@]}" || failed=1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/docs"
printf '# A start\n\n[in](docs/b.md) [up](#a-start) [out](https://a.invalid/x) `[no](link)`\n' >"$work/a.md"
printf '# Two, words\n\n```text\n[no](link)\n```\n[back](../a.md#a-start)\n' >"$work/docs/b.md"
planted() { # planted EXPECTED: what the checker says about the pages in $work
  said=$(cd "$work" && awk -f "$OLDPWD/$checker" a.md docs/b.md a.md docs/b.md)
  [ "$said" = "$1" ] || { echo "planted links: said '$said', expected '$1'"; failed=1; }
}
planted ""
echo '[x](c.md)' >>"$work/a.md"
planted "a.md:4: c.md does not exist"
echo '[x](docs/b.md#two-words) [y](docs/b.md#three)' >"$work/a.md"
planted "a.md:1: docs/b.md has no anchor three
docs/b.md:6: a.md has no anchor a-start"
exit $failed
