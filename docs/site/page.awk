# Takes out of doxygen's pages what is said twice or says nothing: which kind of page it is, links to what stands below,
# the template head of a class before each of its members; links to the documents lead to their pages.
/<div class="summary">/ { skip = 1 }
skip { if (/<\/div>/) skip = 0; next }
/<tr id="row_/ && (/_8md\.html/ || />(docs|decisions)<\/a>/) { next }
/<title>|class="title"/ {
  gsub(/ (File|Directory|(Struct|Class|Concept|Namespace|Union)( Template)?) Reference/, "")
  gsub(/File List/, "Headers")
  gsub(/Class List/, "Types")
}
{
  gsub(/<a href="[^"]*">More\.\.\.<\/a>/, "")
  gsub(/"README_8md\.html/, "\"index.html")
  while (match($0, /"[0-9][0-9][0-9][0-9]-[^"]*_8md\.html/))
    $0 = substr($0, 1, RSTART) "decision-" substr($0, RSTART + 1, RLENGTH - 10) ".html" substr($0, RSTART + RLENGTH)
  gsub(/_8md\.html/, ".html")
  gsub(/>Detailed Description</, ">What it is<")
  gsub(/Here (is a list of all|are the) [^<]* with brief descriptions:/, "")
  gsub(/>Member Typedef Documentation</, ">Names<")
  gsub(/>Member Data Documentation</, ">Values<")
  gsub(/>Member Function Documentation</, ">Functions<")
  gsub(/>Member Enumeration Documentation</, ">Enumerations<")
  gsub(/>Typedef Documentation</, ">Names<")
  gsub(/>Enumeration Type Documentation</, ">Enumerations<")
  gsub(/>Function Documentation</, ">Functions<")
  gsub(/>Variable Documentation</, ">Values<")
  gsub(/>Constructor &amp; Destructor Documentation</, ">Making one<")
}
/compoundTemplParams">/ {
  head = $0
  sub(/.*compoundTemplParams">/, "", head)
  sub(/<br.*/, "", head)
}
head != "" && $0 == head " </div>" { print "</div>"; next }
{ print }
