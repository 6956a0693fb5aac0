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

/// Throws Error; the parts are written one after the other.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw Error(message.str());
}

}  // namespace llama
