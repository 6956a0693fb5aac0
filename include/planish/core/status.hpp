#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include <planish/core/abi.hpp>

namespace planish {

/// What went wrong, in the few kinds that a host may treat differently.
enum class ErrorCode : std::uint8_t {
  ok,
  invalid_argument,  ///< a parameter outside its documented range
  shape_mismatch,    ///< sizes that do not fit together
  not_finite,        ///< NaN or infinity where a number is needed
  singular,          ///< a matrix or scale without an inverse
  unsupported,       ///< well-formed, but nothing here can do it
  malformed,         ///< bytes that are not what they claim to be
  io,                ///< the operating system refused
  out_of_memory,
};

/// An error code and one sentence. Trivially copyable and of fixed size, so that reporting an error allocates
/// nothing and a Status may cross between units built with different instruction sets. Longer text is cut.
class [[nodiscard]] Status {
 public:
  static constexpr std::size_t capacity = 375;

  PLANISH_ALWAYS_INLINE constexpr Status() noexcept = default;

  /// The parts are joined without separators: text, characters and whole numbers.
  template <class... Parts>
  PLANISH_ALWAYS_INLINE constexpr Status(ErrorCode code, const Parts&... parts) noexcept : code_(code) {
    (append(parts), ...);
  }

  [[nodiscard]] PLANISH_ALWAYS_INLINE constexpr bool ok() const noexcept { return code_ == ErrorCode::ok; }
  [[nodiscard]] PLANISH_ALWAYS_INLINE constexpr ErrorCode code() const noexcept { return code_; }
  [[nodiscard]] PLANISH_ALWAYS_INLINE constexpr std::string_view message() const noexcept { return {text_, length_}; }
  PLANISH_ALWAYS_INLINE constexpr explicit operator bool() const noexcept { return ok(); }

 private:
  PLANISH_ALWAYS_INLINE constexpr void append(char c) noexcept {
    if (length_ < capacity) text_[length_++] = c;
  }
  PLANISH_ALWAYS_INLINE constexpr void append(std::string_view text) noexcept {
    for (char c : text) append(c);
  }
  template <class Integer>
  requires(std::is_integral_v<Integer> && !std::is_same_v<Integer, char> &&
           !std::is_same_v<Integer, bool>) PLANISH_ALWAYS_INLINE constexpr void append(Integer value) noexcept {
    char digits[24] = {};
    int count = 0;
    auto magnitude = static_cast<std::uint64_t>(value);
    if constexpr (std::is_signed_v<Integer>) {
      if (value < 0) {
        append('-');
        magnitude = 0 - magnitude;
      }
    }
    do {
      digits[count++] = static_cast<char>('0' + magnitude % 10);
      magnitude /= 10;
    } while (magnitude != 0);
    while (count > 0) append(digits[--count]);
  }

  ErrorCode code_ = ErrorCode::ok;
  std::uint16_t length_ = 0;
  char text_[capacity + 1] = {};
};

static_assert(std::is_trivially_copyable_v<Status>,
              "planish: Status crosses between units, so it must stay trivially copyable");

}  // namespace planish
