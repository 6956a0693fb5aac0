#!/usr/bin/env bash
# Checks that coverage_reasons.sh tells explained lines from others, on files made here.
set -u
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 2
printf 'int f() {\n  if (a)\n    return never();\n  }\n  b();\n}\n' >a.hpp

failed=0
# expect NAME STATUS TEXT: what coverage_reasons.sh says of the files `uncovered` and `reasons`.
expect() {
  said=$(bash "$here/coverage_reasons.sh" uncovered reasons 2>&1)
  if [ $? != "$2" ] || [[ $said != *"$3"* ]] || { [ "$2" = 0 ] && [ -n "$said" ]; }; then
    echo "$1: exit status or words are wrong: $said"
    failed=1
  fi
}
reason=$'a.hpp\treturn never();\tcannot happen'

printf 'a.hpp:3\na.hpp:4\n' >uncovered
printf '# of a test\n\n%s\n' "$reason" >reasons
expect "a reason, and a bracket below it" 0 ""
printf '' >reasons
expect "no reason" 1 "no reason: a.hpp:3: return never();"
printf 'a.hpp:3\na.hpp:5\na.hpp:6\n' >uncovered
printf '%s\n' "$reason" >reasons
expect "another line without one" 1 "no reason: a.hpp:5: b();"
expect "a bracket below it" 1 "no reason: a.hpp:6: }"
printf 'a.hpp:6\n' >uncovered
expect "a bracket alone" 1 "no reason: a.hpp:6: }"
printf 'a.hpp:3\n' >uncovered
printf '%s\na.hpp\treturn gone();\tcannot happen\n' "$reason" >reasons
expect "a line that is gone" 1 'a.hpp has no line "return gone();"'
printf '%s\nb.hpp\tx\tcannot happen\n' "$reason" >reasons
expect "a file that is gone" 1 'b.hpp has no line "x"'
printf '%s\na.hpp\tb();\t\n' "$reason" >reasons
expect "a reason without words" 1 "reasons:2: not FILE, text and reason"
printf 'a.hpp:3\na.hpp:5\n' >uncovered
printf 'a.hpp\t* without no_such_flag\tneeds it\n' >reasons
expect "all lines of a file that needs what no machine has" 0 ""
if grep -qsw fpu /proc/cpuinfo; then
  printf 'a.hpp\t* without fpu\tneeds it\n' >reasons
  expect "a file that needs what this machine has" 1 "no reason: a.hpp:3"
fi
printf 'b.hpp\t* without no_such_flag\tneeds it\n' >reasons
expect "all lines of a file that is gone" 1 "reasons:1: no file b.hpp"
[ $failed = 0 ] && echo "coverage_reasons.sh tells explained lines from others"
exit $failed
