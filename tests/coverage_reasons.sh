#!/usr/bin/env bash
# coverage_reasons.sh UNCOVERED REASONS: whether every uncovered line (FILE:NUMBER each) has its reason (FILE, a tab, the
# text of the source line without the space around it, a tab, the reason; lines with # are comments). Text in place of
# numbers, so that edits elsewhere in a file leave reasons alone. A line of brackets alone shares the reason of the line
# above it. In place of a text, `* without FLAG` explains all lines of a file on a machine whose /proc/cpuinfo lacks the
# flag. Prints what is not explained, and reasons that belong to no line of their file; either fails.
set -u
awk -v reasons="$2" '
  function trimmed(text) { gsub(/^[ \t]+|[ \t]+$/, "", text); return text }
  function complain(what) { print what; failed = 1 }
  function lacks(flag) { return system("grep -qsw " flag " /proc/cpuinfo") != 0 }
  # The text of a file, once.
  function load(file,   line, count) {
    if (file in loaded) return
    loaded[file] = 1
    while ((getline line <file) > 0) {
      text[file, ++count] = trimmed(line)
      has[file, trimmed(line)] = 1
    }
    close(file)
  }
  BEGIN {
    while ((getline entry <reasons) > 0) {
      ++number
      if (entry ~ /^#/ || entry == "") continue
      fields = split(entry, part, "\t")
      if (fields != 3 || part[1] == "" || part[2] == "" || part[3] == "") {
        complain(reasons ":" number ": not FILE, text and reason with tabs between them: " entry)
        continue
      }
      load(part[1])
      if (part[2] ~ /^\* without [a-z0-9_]+$/) {
        if (!((part[1], 1) in text)) complain(reasons ":" number ": no file " part[1])
        if (lacks(substr(part[2], length("* without ") + 1))) explained_whole[part[1]] = 1
        continue
      }
      if (!((part[1], part[2]) in has)) complain(reasons ":" number ": " part[1] " has no line \"" part[2] "\"")
      explained[part[1], part[2]] = 1
    }
  }
  {
    at = match($0, /:[0-9]+$/)
    file = substr($0, 1, at - 1); line = substr($0, at + 1) + 0
    load(file)
    is_explained = file in explained_whole || (file, text[file, line]) in explained
    if (!is_explained && text[file, line] ~ /^[][(){};,]*$/)
      is_explained = file == last_file && line == last_line + 1 && last_explained
    if (!is_explained) complain("no reason: " $0 ": " text[file, line])
    last_file = file; last_line = line; last_explained = is_explained
  }
  END { exit failed }' "$1"
