#pragma once
#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/scheme.hpp>

namespace planish::inline PLANISH_ABI {

/// How each row of activations becomes codes. Dynamic: the scale comes from the row. Static: it was calibrated.
struct RowQuantizer {
  int bits = 8;  // 2 to 8
  Symmetry symmetry = Symmetry::symmetric;
  ClipPair clip{};
  float static_scale = 0.0f;  // 0: dynamic
  int static_zero_point = 0;  // of the canonical (unsigned) codes; only read with a static scale and asymmetric codes

  friend constexpr bool operator==(const RowQuantizer&, const RowQuantizer&) = default;

  [[nodiscard]] PLANISH_HOST_DEVICE constexpr bool is_static() const noexcept { return static_scale != 0.0f; }

  /// What asymmetric codes lose when they are stored as int8: 2^(b−1); symmetric codes are stored as they are.
  [[nodiscard]] PLANISH_HOST_DEVICE constexpr int storage_offset() const noexcept {
    return symmetry == Symmetry::asymmetric ? 1 << (bits - 1) : 0;
  }

  /// Scale and zero point of the canonical codes of a row with this range.
  [[nodiscard]] PLANISH_HOST_DEVICE Affine affine(ValueRange range) const noexcept {
    if (is_static()) return {static_scale, symmetry == Symmetry::asymmetric ? static_zero_point : 0};
    return affine_of(range, clip, bits, symmetry);
  }
};

}  // namespace planish::inline PLANISH_ABI
