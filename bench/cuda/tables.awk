# check.json of planish-cuda-check as the tables of docs/performance.md: awk -f tables.awk check.json
# Products beside the library's best for the same shape, what moves bytes beside the quickest copy, of the same run.
/"microseconds":/ {
  name = $0; sub(/.*"name": "/, "", name); sub(/".*/, "", name)
  us = $0; sub(/.*"microseconds": /, "", us); sub(/,.*/, "", us)
  bytes = $0; sub(/.*"bytes": /, "", bytes); sub(/,.*/, "", bytes)
  if (!(name in time)) { time[name] = us + 0; moved[name] = bytes + 0 }  # the first of two that share a name
  if (name ~ /^copy\// && bytes / us > copy) copy = bytes / us
}
# The library's time was taken in turns with ours.
function faster(ours, kind) { return (ours "/of_" kind in time) ? sprintf("%.2f", time[ours "/of_" kind] / time[ours]) : "-" }
function of_copy(name) { return name in time ? sprintf("%.0f", 100 * moved[name] / time[name] / copy) : "-" }
function row(cells) { print "| " cells " |" }

END {
  print "copy: " sprintf("%.2f", copy / 1e6) " TB/s\n"
  row("product | tokens | 14336 × 4096, of int8 | of bfloat16 | 4096 × 14336, of int8 | of bfloat16")
  row("--- | --: | --: | --: | --: | --:")
  kinds = split("w8a8 w4a8", kind, " "); sizes = split("1 16 128 512 2048 8192", tokens, " ")
  for (i = 1; i <= kinds; ++i)
    for (j = 1; j <= sizes; ++j) {
      line = "`" kind[i] "` | " tokens[j]
      for (side = 0; side < 2; ++side) {
        shape = "/m:" tokens[j] (side ? "/n:4096/k:14336" : "/n:14336/k:4096")
        line = line " | " faster("multiply/" kind[i] shape, "int8") \
          " | " faster("multiply/" kind[i] shape, "bfloat16")
      }
      row(line)
    }

  print ""
  row("kernel, 8192 tokens, % of copy | n 4096 | 5120 | 8192 | 14336 | 28672")
  row("--- | --: | --: | --: | --: | --:")
  row("quantize to int8 | " of_copy("quantize/int8/m:8192/n:4096") " | - | " of_copy("quantize/int8/m:8192/n:8192") \
    " | " of_copy("quantize/int8/m:8192/n:14336") " | " of_copy("quantize/int8/m:8192/n:28672"))
  for (bits = 4; bits <= 8; bits += 4) {
    line = "Kronecker, clip, quantize to int" bits
    split("64x64 64x80 64x128 112x128 128x224", shapes, " ")
    for (i = 1; i <= 5; ++i) line = line " | " of_copy("kronecker/int" bits "/m:8192/n:" shapes[i])
    row(line)
  }

  print ""
  row("tokens, weight-only 8192 × 8192 | per channel, of bfloat16 | groups of 128, of bfloat16 | per channel, % of copy")
  row("--: | --: | --: | --:")
  sizes = split("1 8 16 32 64 128 512 2048 8192", tokens, " ")
  for (j = 1; j <= sizes; ++j) {
    shape = "/m:" tokens[j] "/n:8192/k:8192"
    row(tokens[j] " | " faster("weight_only/w4a16/group:0" shape, "bfloat16") \
      " | " faster("weight_only/w4a16/group:128" shape, "bfloat16") \
      " | " of_copy("weight_only/w4a16/group:0" shape))
  }

  print ""
  row("decode attention, % of copy | batch 1, context 8192 | batch 32, context 1024 | batch 32, context 8192 | batch 64, context 8192")
  row("--- | --: | --: | --: | --:")
  split("8 4 2", cache, " "); split("1/context:8192 32/context:1024 32/context:8192 64/context:8192", where, " ")
  for (i = 1; i <= 3; ++i) {
    line = "int" cache[i]
    for (j = 1; j <= 4; ++j)
      line = line " | " of_copy("attend/k" cache[i] "v" cache[i] "/kv_heads:8/head:128/group:4/queries:1/bfloat16/batch:" where[j])
    row(line)
  }
}
