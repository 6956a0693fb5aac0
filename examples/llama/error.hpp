#pragma once
#include <sstream>
#include <stdexcept>
#include <string>

namespace llama {

/// What the host throws: one sentence that names the file, option or tensor and the reason. `main` prints it and ends
/// with exit code 2.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

/// Throws Error; the parts are written one after the other. Control characters, which only text from outside can bring,
/// become '?', so that the sentence stays one line.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream joined;
  (joined << ... << parts);
  std::string message = joined.str();
  for (char& c : message)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  throw Error(message);
}

}  // namespace llama
