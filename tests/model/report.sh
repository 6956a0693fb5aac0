#!/usr/bin/env bash
# report.sh [BUILD_DIR]: calibrates the default model a little, makes the report, opens it in Chromium as wide as a
# phone and a desk, and checks that it fits and that the browser complains of nothing. Skipped (77) where Chromium,
# the model or the text cannot be had.
set -uo pipefail
cd "$(dirname "$0")/../.."
build=${1:-build/release}
llama=$build/examples/planish-llama
text=../shared/data/wikitext2/wiki.train.head.txt

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
  { echo "skipped: no Chromium"; exit 77; }
[ -x "$llama" ] || { echo "skipped: $llama is not built"; exit 77; }
[ -e "$text" ] || { echo "skipped: no WikiText-2 at $text"; exit 77; }
model=$(bash examples/get_model.sh) || { echo "skipped: no model"; exit 77; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
page=$folder/report.html
"$llama" calibrate --model "$model" --text "$text" --samples 1 --window 64 --epochs 2 --out "$folder/model.planish" >/dev/null 2>&1 &&
  "$llama" report --planish "$folder/model.planish" --out "$page" || { echo "0 passed, 1 failed"; exit 1; }

passed=0 failed=0
check() { # check WHAT COMMAND...
  local what=$1
  shift
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "failed: $what"; fi
}

# The page in a frame as wide as it is to be seen, because a window has a least width; what it measures becomes the
# wrapper's title.
look() { # look WIDTH
  cat >"$folder/look.html" <<HTML
<!DOCTYPE html><title>nothing</title>
<iframe id="frame" style="width:$1px;height:2000px;border:0" src="report.html"></iframe>
<script>
document.getElementById("frame").onload = function () {
  var root = this.contentDocument.documentElement;
  this.contentDocument.querySelectorAll("details").forEach(function (d) { d.open = true; });
  document.title = "width " + this.clientWidth + " has " + root.clientWidth + " needs " + root.scrollWidth +
      " pictures " + root.querySelectorAll("svg[role=img] > title").length;
};
</script>
HTML
  timeout 120 "$browser" --headless --no-sandbox --disable-gpu --allow-file-access-from-files --enable-logging=stderr \
    --virtual-time-budget=20000 --dump-dom "file://$folder/look.html" 2>"$folder/log" >"$folder/dom"
  sed -n 's/.*<title>\(width[^<]*\)<.*/\1/p' "$folder/dom" | head -1
}

for width in 360 1280; do
  seen=$(look "$width")
  echo "$seen"
  read -r _ is _ has _ needs _ pictures <<<"$seen"
  check "the page is $width wide" [ "${is:-0}" = "$width" ]
  check "the page fits $width" [ "${needs:-99999}" -le "${has:-0}" ]
  check "all pictures are there" [ "${pictures:-0}" -ge 800 ]
  check "no complaint of the browser: $(grep -m1 CONSOLE "$folder/log")" [ "$(grep -c CONSOLE "$folder/log")" = 0 ]
done
check "less than 4 MiB" [ "$(stat -c %s "$page")" -lt $((4 * 1024 * 1024)) ]
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
