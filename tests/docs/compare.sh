#!/usr/bin/env bash
# compare.sh PROGRAM EXPECTED: runs PROGRAM; if the file EXPECTED exists, its output must be that.
set -u
said=$("$1") || { echo "$said"; echo "$1 failed"; exit 1; }
[ -e "$2" ] || exit 0
diff <(cat "$2") <(printf '%s\n' "$said") || { echo "the page shows the lines marked <, the program prints those marked >"; exit 1; }
