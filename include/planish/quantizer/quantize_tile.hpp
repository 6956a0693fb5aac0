#pragma once
#include <cstdint>

#include <planish/core/result.hpp>
#include <planish/quantizer/range_rule.hpp>

namespace planish::inline PLANISH_ABI::detail {

/// Ok if every value of the tile is finite; else names the first that is not. `first_row`, `first_column`: where the
/// tile starts in its matrix.
[[nodiscard]] inline Status require_finite(MatrixView<const float> tile, index first_row, index first_column) noexcept {
  for (index r = 0; r < tile.rows(); ++r)
    for (index c = 0; c < tile.columns(); ++c)
      if (!is_finite(tile(r, c)))
        return Status(ErrorCode::not_finite, "cannot quantize NaN or infinity, found in row ", first_row + r,
                      ", column ", first_column + c);
  return {};
}

/// Writes the codes of a tile, `stride` bytes from row to row.
inline void write_codes(MatrixView<const float> tile, Affine affine, CodeRange range, std::uint8_t* codes,
                        index stride) noexcept {
  for (index r = 0; r < tile.rows(); ++r)
    for (index c = 0; c < tile.columns(); ++c)
      codes[r * stride + c] = static_cast<std::uint8_t>(to_code(tile(r, c), affine, range));
}

/// Finds the Affine of a finite tile by the rule and writes its codes.
template <RangeRule Rule, ScaleRule Scale>
[[nodiscard]] Result<Affine> quantize_tile(MatrixView<const float> tile, TileScheme<Scale> scheme, const Rule& rule,
                                           std::uint8_t* codes, index stride, index first_row,
                                           index first_column) noexcept {
  if (const Status status = require_finite(tile, first_row, first_column); !status) return status;
  const Affine affine = scheme.affine(find_range(rule, tile, scheme));
  if (!is_finite(affine.scale))
    return Status(ErrorCode::not_finite, "the range of row ", first_row, ", column ", first_column,
                  " is too wide for a float32 scale");
  write_codes(tile, affine, scheme.codes(), codes, stride);
  return affine;
}

}  // namespace planish::inline PLANISH_ABI::detail
