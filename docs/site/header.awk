# Headers as doxygen shows them: without the tag of the instruction set, and with a text for the page of the file: the
# comment that follows #pragma once, or else the first sentence about something that the file declares. A comment behind
# a member is its text.
/^#pragma once/ { print; about = 1; next }
about && /^\/\/ / { text = text substr($0, 4) "\n"; print ""; next }
{ about = 0 }
/^namespace detail \{/ { hidden = 1 }
/^}  \/\/ namespace detail/ { hidden = 0 }
text == "" && !hidden && !told && /^ *\/\/\/ / { first = first substr($0, index($0, "///") + 4) "\n" }
first != "" && (!/^ *\/\/\/ / || first ~ /\.\n/) { told = 1 }
{
  gsub(/::inline PLANISH_ABI/, "")
  if (/^(  )?[^ ].*;  +\/\/ /) sub(/;  +\/\/ /, "; ///< ")
  sub(/requires\(.*\) explicit /, "explicit ")
  print
}
END {
  if (text == "") { text = first; sub(/\.[ \n].*/, ".\n", text) }
  printf "\n/** @file\n@brief %s*/\n", text
}
