#pragma once
#include <charconv>
#include <string_view>
#include <system_error>
#include <version>

#if !defined(__cpp_lib_to_chars)
#include <algorithm>
#include <array>
#include <clocale>
#include <cstdlib>
#include <locale.h>
#if __has_include(<xlocale.h>)
#include <xlocale.h>
#endif
#endif

#include <planish/core/abi.hpp>

namespace planish::inline PLANISH_ABI::io::detail {

/// Reads a whole token in JSON's grammar of numbers, whatever the host's locale is. False, and `out` stays, where a
/// double cannot hold it: it is too large, or not zero but too small.
[[nodiscard]] inline bool parse_double(std::string_view token, double& out) noexcept {
#if defined(__cpp_lib_to_chars)
  const auto parsed = std::from_chars(token.data(), token.data() + token.size(), out);
  return parsed.ec == std::errc() && parsed.ptr == token.data() + token.size();
#else
  // libc++ before version 20 reads whole numbers only. No double needs more digits than fit here.
  std::array<char, 1100> text{};
  if (token.empty() || token.size() >= text.size()) return false;
  std::copy(token.begin(), token.end(), text.begin());
  char* end = nullptr;
#if defined(_WIN32)
  static const _locale_t plain = ::_create_locale(LC_ALL, "C");
  const double value = ::_strtod_l(text.data(), &end, plain);
#else
  static const locale_t plain = ::newlocale(LC_ALL_MASK, "C", nullptr);
  const double value = ::strtod_l(text.data(), &end, plain);
#endif
  const std::string_view mantissa = token.substr(0, token.find_first_of("eE"));
  const bool vanished = value == 0 && mantissa.find_first_of("123456789") != std::string_view::npos;
  if (end != text.data() + token.size() || vanished || value - value != 0) return false;
  out = value;
  return true;
#endif
}

}  // namespace planish::inline PLANISH_ABI::io::detail
