#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>

namespace planish::inline PLANISH_ABI {

/// Whether code 0 means value 0 (signed codes), or an integer zero point says which code does (unsigned codes).
enum class Symmetry : std::uint8_t { symmetric, asymmetric };

/// The integers that `bits` can hold: [−2^(b−1), 2^(b−1) − 1] symmetric, [0, 2^b − 1] asymmetric.
struct CodeRange {
  int lowest;
  int highest;
};

/// `bits`: 2 to 8.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr CodeRange code_range(int bits, Symmetry symmetry) noexcept {
  if (symmetry == Symmetry::symmetric) return {-(1 << (bits - 1)), (1 << (bits - 1)) - 1};
  return {0, (1 << bits) - 1};
}

/// Codes have 2 to 8 bits; 16 in a recipe means "stays float".
[[nodiscard]] PLANISH_HOST_DEVICE constexpr bool is_code_width(int bits) noexcept { return bits >= 2 && bits <= 8; }

/// Factors on the positive and on the negative end of a range before the scale is taken from it.
struct ClipPair {
  float positive = 1.0f;
  float negative = 1.0f;

  friend constexpr bool operator==(ClipPair, ClipPair) = default;
};

/// Factors that keep every scale meaningful.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr bool is_valid_clip(ClipPair clip) noexcept {
  constexpr float least = 0x1p-20f, most = 16.0f;
  return clip.positive >= least && clip.positive <= most && clip.negative >= least && clip.negative <= most;
}

/// Least and greatest value of a tile; both ends count 0 in.
struct ValueRange {
  float lowest = 0.0f;
  float highest = 0.0f;
};

}  // namespace planish::inline PLANISH_ABI
