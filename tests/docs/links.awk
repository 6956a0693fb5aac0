# Finds links that lead nowhere: awk -f links.awk FILES [FILES], every file twice: first all are read for their anchors,
# then for their links. Markdown (anchors are headings, as code hosts name them) and HTML (id, name). What a link names
# must exist; an anchor must exist where its file is among FILES. http:, https: and mailto: are not followed.
FNR == 1 {
  ++reads[FILENAME]
  fence = 0
  folder = FILENAME
  if (!sub(/\/[^\/]*$/, "", folder)) folder = "."
  html = FILENAME ~ /\.html$/
}

# Takes ./ and name/.. out of a path.
function plain(path, parts, count, i, kept, stack, absolute) {
  absolute = path ~ /^\//
  count = split(path, parts, "/")
  kept = 0
  for (i = 1; i <= count; ++i) {
    if (parts[i] == "" || parts[i] == ".") continue
    if (parts[i] == ".." && kept > 0 && stack[kept] != "..") --kept
    else stack[++kept] = parts[i]
  }
  path = ""
  for (i = 1; i <= kept; ++i) path = path (i > 1 ? "/" : "") stack[i]
  return (absolute ? "/" : "") path
}

function exists(path) {
  if (!(path in found)) found[path] = system("test -e '" path "'") == 0
  return found[path]
}

function slug(heading) {
  gsub(/\]\([^)]*\)/, "", heading)
  heading = tolower(heading)
  gsub(/[^-a-z0-9 _]/, "", heading)
  gsub(/ /, "-", heading)
  return heading
}

function check(target, path, anchor, at) {
  if (target ~ /^(https?:|mailto:|javascript:|data:)/ || target == "") return
  gsub(/&amp;/, "\\&", target)
  at = index(target, "#")
  anchor = at ? substr(target, at + 1) : ""
  path = at ? substr(target, 1, at - 1) : target
  sub(/\?.*/, "", path)
  path = path == "" ? plain(FILENAME) : plain(path ~ /^\// ? path : folder "/" path)
  ++links
  if (!exists(path == "" ? "." : path)) complain(target " does not exist")
  else if (anchor != "" && (path in read) && !((path, anchor) in anchors)) complain(path " has no anchor " anchor)
}

function complain(what) {
  print FILENAME ":" FNR ": " what
  ++errors
}

reads[FILENAME] == 1 {
  here = plain(FILENAME)
  read[here] = 1
  if (html) {
    line = $0
    while (match(line, /[ "](id|name)="[^"]*"/)) {
      word = substr(line, RSTART, RLENGTH)
      line = substr(line, RSTART + RLENGTH - 1)
      sub(/^.*="/, "", word)
      sub(/"$/, "", word)
      anchors[here, word] = 1
    }
    next
  }
  if (/^```/) fence = !fence
  if (!fence && /^#+ /) {
    heading = $0
    sub(/^#+ +/, "", heading)
    name = slug(heading)
    anchors[here, seen[here, name] ? name "-" seen[here, name] : name] = 1
    ++seen[here, name]
  }
  next
}

html {
  line = $0
  while (match(line, /[ "](href|src)="[^"]*"/)) {
    word = substr(line, RSTART, RLENGTH)
    line = substr(line, RSTART + RLENGTH - 1)
    sub(/^.(href|src)="/, "", word)
    sub(/"$/, "", word)
    check(word)
  }
  next
}

{
  if (/^```/) { fence = !fence; next }
  if (fence || /^    /) next
  line = $0
  gsub(/`[^`]*`/, "", line)
  while (match(line, /\]\([^) ]*\)/)) {
    check(substr(line, RSTART + 2, RLENGTH - 3))
    line = substr(line, RSTART + RLENGTH)
  }
}

END {
  if (!links) { print "no link found: nothing was checked"; exit 1 }
  exit errors > 0
}
