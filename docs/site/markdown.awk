# Markdown as doxygen 1.9 understands it: pages and headings get labels, links between pages name them, links to files
# that are not part of the site become plain text. A label is PAGE, or PAGE-HEADING with the heading as code hosts spell
# its anchor.
function slug(heading) {
  gsub(/\]\([^)]*\)/, "", heading)
  heading = tolower(heading)
  gsub(/[^-a-z0-9 _]/, "", heading)
  gsub(/ /, "-", heading)
  return heading
}

function page_of(path) {
  sub(/.*\//, "", path)
  sub(/\.md$/, "", path)
  if (path ~ /^[0-9]/) path = "decision-" path
  return path == "README" ? "index" : path
}

# The link target as a label; "" where the site has no such page.
function label(target, at, path, anchor) {
  at = index(target, "#")
  anchor = at ? substr(target, at + 1) : ""
  path = at ? substr(target, 1, at - 1) : target
  if (path == "") return page "-" anchor
  if (path ~ /decisions\/?$/) return "decisions"
  if (path !~ /\.md$/) return ""
  return page_of(path) (anchor != "" ? "-" anchor : "")
}

function with_links(line, out, text, target, to) {
  out = ""
  while (match(line, /!?\[[^][]*\]\([^) ]*\)/)) {
    out = out substr(line, 1, RSTART - 1)
    link = substr(line, RSTART, RLENGTH)
    line = substr(line, RSTART + RLENGTH)
    text = link
    sub(/\]\([^)]*\)$/, "", text)
    target = substr(link, length(text) + 3)
    sub(/\)$/, "", target)
    if (text ~ /^!/) out = out "<img src=\"" picture(target) "\" alt=\"" substr(text, 3) "\"/>"
    else if (target ~ /^(https?:|mailto:)/) out = out link
    else {
      to = label(target)
      if (to == "decisions") to = "pages.html"
      else if (to != "") to = "#" to
      out = out (to == "" ? substr(text, 2) : "[" substr(text, 2) "](" to ")")
    }
  }
  return out line
}

function picture(target) {
  sub(/.*\//, "", target)
  return "pictures/" target
}

BEGIN { page = page_of(ARGV[1]) }
/^```/ { fence = !fence }
/^<!-- prelude$/ { hidden = 1 }
hidden { if (/^-->$/) hidden = 0; next }
fence || /^```/ || /^    / { print; next }
/^#+ / {
  heading = $0
  sub(/^#+ +/, "", heading)
  name = /^# / && !titled ? page : page "-" slug(heading)
  if (/^# /) titled = 1
  print with_links($0) (page == "index" && name == page ? "" : " {#" name "}")
  next
}
{ print with_links($0) }
