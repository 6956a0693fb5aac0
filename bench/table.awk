# Google Benchmark's JSON as an aligned table.
function field(line) { sub(/^[^:]*: */, "", line); sub(/,$/, "", line); gsub(/"/, "", line); return line }
function flush() {
  if (name == "") return
  if (length(name) > width) width = length(name)
  names[++count] = name; us[count] = time; gops[count] = gop; gbs[count] = gb; share[count] = percent; limits[count] = limit
  name = time = gop = gb = percent = limit = ""
}
/^ *"planish":/ { print "planish: " field($0) }
/^ *"name":/ { flush(); name = field($0); sub(/^name: /, "", name) }
/^ *"us":/ { time = field($0) }
/^ *"GOP\/s":/ { gop = field($0) }
/^ *"GB\/s":/ { gb = field($0) }
/^ *"label":/ { limit = field($0) }
/^ *"percent_of_ceiling":/ { percent = field($0) }
function cell(value, form) { return value == "" ? "-" : sprintf(form, value) }
END {
  flush()
  printf "\n%-" width "s %12s %10s %8s %12s  %s\n", "", "us", "GOP/s", "GB/s", "% of ceiling", "ceiling"
  for (i = 1; i <= count; ++i)
    printf "%-" width "s %12s %10s %8s %12s  %s\n", names[i], cell(us[i], "%.1f"), cell(gops[i], "%.1f"), cell(gbs[i], "%.1f"), cell(share[i], "%.0f"), limits[i]
  peers()
}

# Ours beside each peer's, where the run has both: same shape, threads and kind of operands; above 1.00 ours is quicker.
function peers(    i, j, part, key, wide, line, shown) {
  for (i = 1; i <= count; ++i) {
    key = names[i]
    if (key !~ /\/m:/) continue
    sub(/^.*\/m:/, "m:", key); sub(/\/weights:cold$/, "", key)
    keys[i] = key
    if (length(key) > wide) wide = length(key)
  }
  for (i = 1; i <= count; ++i) {
    if (names[i] !~ /^peer\//) continue
    split(names[i], part, "/")
    for (j = 1; j <= count; ++j) {
      if (keys[j] != keys[i] || names[j] !~ /^gemm\//) continue
      if (part[3] == "fp32" ? names[j] !~ /^gemm\/fp32\// : names[j] !~ /^gemm\/w[48]a8\//) continue
      if ((part[3] ~ /amx/) != (names[j] ~ /\/amx\//)) continue
      if ((names[j] ~ /cold$/) != (names[i] ~ /cold$/)) continue
      line = names[j]; sub(/^gemm\//, "", line); sub(/\/m:.*/, "", line)
      if (!shown++) printf "\n%-" wide "s  %-18s %-16s %10s %10s %10s\n", "beside peers", "ours", "peer", "ours, us", "peer, us", "ours/peer"
      printf "%-" wide "s  %-18s %-16s %10.1f %10.1f %10.2f\n", keys[i], line, part[2] "/" part[3], us[j], us[i], us[i] / us[j]
    }
  }
}
