#!/usr/bin/env bash
# count.sh OUTPUT LOG: adds up what ctest ran and prints "N passed, N failed": the test cases inside a doctest program
# one by one, every other test as one. OUTPUT is what ctest printed (who passed), LOG its LastTest.log (the programs'
# own words). Fails if something failed or nothing ran.
awk '
  FNR == 1 { ++file }
  file == 1 && /^ *[0-9]+\/[0-9]+ +Test +#[0-9]+: / {
    name = $4
    verdict[name] = /\*\*\*Skipped/ ? "skipped" : /\*\*\*/ ? "failed" : / Passed / ? "passed" : "failed"
  }
  file == 2 && /^[0-9]+\/[0-9]+ Test: / { name = $3 }
  file == 2 && /^skipped: / { why[name] = substr($0, 10) }
  file == 2 && /^\[doctest\] test cases:/ {
    gsub(/[|:]/, " ")
    for (i = 2; i <= NF; ++i) { if ($i == "passed") good[name] += $(i - 1); if ($i == "failed") bad[name] += $(i - 1) }
  }
  END {
    for (name in verdict) {
      if (verdict[name] == "passed" && !(name in good)) ++passed
      if (verdict[name] == "failed") { if (!(name in bad) || bad[name] == 0) ++failed; broken = broken " " name }
      passed += good[name]
      failed += bad[name]
      if (verdict[name] == "skipped") print name " skipped: " why[name]
    }
    if (passed + failed == 0) failed = 1
    if (broken != "") print "failed:" broken
    print passed + 0 " passed, " failed + 0 " failed"
    exit failed > 0
  }' "$1" "$2"
