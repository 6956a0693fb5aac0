#!/usr/bin/env bash
# check_kernels.sh OBJDUMP OBJECT: no kernel of planish, optimised, calls or reads a template of the standard library or
# of xsimd that has a body of its own: such a body has the same name in every unit, and the linker keeps one for all of
# them. The object has a section per function, so that the references of each can be told apart.
set -eu
found=$("$1" -r "$2" | awk '
  /^RELOCATION RECORDS FOR/ { kernel = $4 ~ /planish/ && $4 ~ /7kernels/; section = $4; count += kernel; next }
  kernel && $3 ~ /^_Z((N|NK)?S[ta]|(N|NK)5xsimd)/ && $3 !~ /^_ZSt9terminatev/ { print section " refers to " $3 }
  END { if (count < 10) print "only " count " kernels were seen: is this check alive?" }' | sort -u | c++filt)
[ -z "$found" ] || { echo "$found"; exit 1; }
