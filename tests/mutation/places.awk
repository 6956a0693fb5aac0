# Places in C++ headers where one small change makes another program, as FILE<tab>LINE<tab>COLUMN<tab>FROM<tab>TO.
# Comments, text, preprocessor lines, static_assert, constraints and prefetches, which no test can see, are passed over.
# The style of the headers tells operators from brackets and pointers: binary operators have spaces around them.
function rule(before, after) { from[++rules] = before; to[rules] = after }

BEGIN {
  rule(" < ", " <= "); rule(" <= ", " < "); rule(" > ", " >= "); rule(" >= ", " > ")
  rule(" == ", " != "); rule(" != ", " == "); rule(" && ", " || "); rule(" || ", " && ")
  rule(" + ", " - "); rule(" - ", " + "); rule(" * ", " / "); rule(" / ", " * "); rule(" % ", " / ")
  rule(" += ", " -= "); rule(" -= ", " += "); rule(" + 1", " + 2"); rule(" - 1", " - 0")
  rule("std::min(", "std::max("); rule("std::max(", "std::min(")
  rule("xsimd::min(", "xsimd::max("); rule("xsimd::max(", "xsimd::min(")
  rule("std::nearbyint(", "std::floor("); rule("std::rint(", "std::ceil("); rule("nearbyint_as_int(", "to_int(")
  rule("round_half_even(", "std::floor(")
}

FNR == 1 { inside = 0; directive = 0 }
directive || /^[ \t]*#/ { directive = /\\$/; next }  # with the lines on which it goes on
/static_assert|concept |requires|template <|prefetch/ { next }

{
  code = $0
  # Blank out text and comments, keeping every column.
  plain = ""
  for (i = 1; i <= length(code); ++i) {
    c = substr(code, i, 1); two = substr(code, i, 2)
    if (inside) { if (two == "*/") { inside = 0; plain = plain "  "; ++i } else plain = plain " "; continue }
    if (two == "//") break
    if (two == "/*") { inside = 1; plain = plain "  "; ++i; continue }
    if (c == "\"" || c == "'") {
      plain = plain "~"
      for (++i; i <= length(code) && substr(code, i, 1) != c; ++i) {
        if (substr(code, i, 1) == "\\") { plain = plain "~"; ++i }
        plain = plain "~"
      }
      plain = plain "~"
      continue
    }
    plain = plain c
  }
  for (r = 1; r <= rules; ++r) {
    start = 1
    while ((at = index(substr(plain, start), from[r])) > 0) {
      printf "%s\t%d\t%d\t%s\t%s\n", FILENAME, FNR, start + at - 1, from[r], to[r]
      start += at + length(from[r]) - 1
    }
  }
}
