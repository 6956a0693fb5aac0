#!/usr/bin/env bash
# check_symbols.sh NM A.o B.o: no function or object of planish may be defined by both units, because the linker would
# keep one of the two bodies for both.
set -eu
defined() { "$1" -C --defined-only "$2" | awk '$2 ~ /^[TtWwVvuBbDdRr]$/ { $1 = $2 = ""; print }' | grep 'planish::' | grep -v 'guard variable' | sort -u; }
shared=$(comm -12 <(defined "$1" "$2") <(defined "$1" "$3") | grep -v '^ *std::' || true)
[ -n "$(defined "$1" "$2")" ] || { echo "no symbols found in $2"; exit 1; }
[ -z "$shared" ] || { echo "defined by both units:"; echo "$shared"; exit 1; }
