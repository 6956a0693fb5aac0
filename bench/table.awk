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
}
