// draw FOLDER: writes the computed pictures of docs/concepts.md into a folder.
#include <cstdio>

#include "pictures.hpp"

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("usage: draw FOLDER\n", stderr);
    return 2;
  }
  const std::string folder = arguments[1];
  if (pictures::draw_codes(folder) && pictures::draw_duality(folder) && pictures::draw_outlier(folder)) return 0;
  std::fprintf(stderr, "%s: cannot write the pictures there\n", arguments[1]);
  return 1;
}
