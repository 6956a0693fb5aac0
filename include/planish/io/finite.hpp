#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/result.hpp>
#include <planish/io/message.hpp>

namespace planish::inline PLANISH_ABI::io {

/// What to do with NaN and infinity in a file's values.
enum class NotFinite : std::uint8_t { refuse, keep };

namespace detail {

/// First value that is NaN or infinite, or the size.
[[nodiscard]] inline std::size_t first_not_finite(std::span<const float> values) noexcept {
  constexpr std::size_t run = 1024;  // tested together, without a branch per value
  for (std::size_t begin = 0; begin < values.size(); begin += run) {
    const std::size_t end = begin + run < values.size() ? begin + run : values.size();
    unsigned bad = 0;
    for (std::size_t i = begin; i < end; ++i) bad |= is_finite(values[i]) ? 0u : 1u;
    for (std::size_t i = begin; bad != 0 && i < end; ++i)
      if (!is_finite(values[i])) return i;
  }
  return values.size();
}

/// Ok, or not_finite with the position of the first bad value.
[[nodiscard]] inline Status check_finite(std::string_view path, std::string_view name, std::span<const float> values,
                                         std::uint64_t first = 0) {
  const std::size_t bad = first_not_finite(values);
  if (bad == values.size()) return {};
  return tensor_error(ErrorCode::not_finite, path, name, "value ", first + bad, " is NaN or infinite in float32");
}

}  // namespace detail

}  // namespace planish::inline PLANISH_ABI::io
