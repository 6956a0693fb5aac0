# Takes every ```cpp block out of a Markdown file: awk -f extract.awk -v out=DIR/README README.md
# writes DIR/README-1.cpp ... and, for a block followed by a ```text block, DIR/README-1.expected. An HTML comment
# "<!-- prelude" ... "-->" before a block holds lines that the page does not show.
/^<!-- prelude$/ { prelude = 1; next }
prelude && /^-->$/ { prelude = 0; next }
prelude { hidden = hidden $0 "\n"; next }
/^```cpp$/ { ++count; code = 1; file = out "-" count ".cpp"; printf "%s", hidden > file; hidden = ""; print "#line " NR + 1 " \"" FILENAME "\"" > file; next }
/^```text$/ && after { text = 1; expected = out "-" count ".expected"; printf "" > expected; next }
/^```/ && code { code = 0; after = 1; close(file); next }
/^```/ && text { text = 0; after = 0; close(expected); next }
code { print > file; next }
text { print > expected; next }
/^```/ { after = 0 }
/^#/ { after = 0 }
