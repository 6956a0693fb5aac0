#pragma once
// What every error of this folder is made with: one line that fits a Status, whatever the file said.
#include <string>
#include <string_view>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>

namespace planish::inline PLANISH_ABI::io::detail {

/// Text from outside, fit for a one-line message: control characters become '?', and of long text the middle is left
/// out, so that a long path or a hostile tensor name never pushes the reason off the line.
[[nodiscard]] inline std::string shown(std::string_view text, std::size_t most = 110) {
  std::string line;
  const bool cut = text.size() > most;
  const std::size_t head = cut ? most / 3 : text.size();
  const auto append = [&line](std::string_view part) {
    for (char c : part) line += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  };
  append(text.substr(0, head));
  if (cut) {
    line += "...";
    append(text.substr(text.size() - (most - head)));
  }
  return line;
}

/// "FILE: " followed by the parts.
template <class... Parts>
[[nodiscard]] Status file_error(ErrorCode code, std::string_view path, const Parts&... parts) {
  return Status(code, std::string_view(shown(path)), ": ", parts...);
}

/// "FILE: tensor 'NAME': " followed by the parts.
template <class... Parts>
[[nodiscard]] Status tensor_error(ErrorCode code, std::string_view path, std::string_view name, const Parts&... parts) {
  return Status(code, std::string_view(shown(path)), ": tensor '", std::string_view(shown(name, 80)), "': ", parts...);
}

/// Calls `work`, which returns a Status or a Result; a failed allocation becomes out_of_memory instead of an exception.
template <class Work>
[[nodiscard]] auto guarded(std::string_view path, Work&& work) noexcept -> decltype(work()) {
#if defined(PLANISH_HAS_EXCEPTIONS)
  try {
    return work();
  } catch (...) {
    return Status(ErrorCode::out_of_memory, path.substr(0, 200), ": not enough memory to read or write this file");
  }
#else
  static_cast<void>(path);
  return work();
#endif
}

}  // namespace planish::inline PLANISH_ABI::io::detail
