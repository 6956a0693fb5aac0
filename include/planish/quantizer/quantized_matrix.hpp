#pragma once
#include <cstdint>

#include <planish/core/affine.hpp>
#include <planish/core/aligned_buffer.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/granularity.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/packing/codes.hpp>
#include <planish/quantizer/scale_rule.hpp>

namespace planish::inline PLANISH_ABI {

namespace detail {
/// Columns that share a scale under G: the whole row unless G is a group. `group_size` counts for a dynamic group.
template <Granularity G>
[[nodiscard]] constexpr index tile_columns(index columns, index group_size) noexcept {
  if constexpr (is_group<G>)
    return G::size == dynamic_group ? group_size : G::size;
  else if constexpr (SaysItsTile<G>)
    return G::tile_columns(columns);
  else
    return columns;
}
}  // namespace detail

/// What a Quantizer makes of a matrix: codes, scales and zero points; a value that is moved, or copied by `clone`.
template <int Bits, detail::MustBeGranularity G, detail::MustBeScaleRule Scale>
class QuantizedMatrix {
  static_assert(is_code_width(Bits), "planish: a QuantizedMatrix has codes of 2 to 8 bits");

 public:
  static constexpr int bits = Bits;

  /// All codes zero; `group_size` is the number of columns that share a scale.
  static Result<QuantizedMatrix> make(index rows, index columns, index group_size) noexcept {
    QuantizedMatrix made;
    made.rows_ = rows;
    made.columns_ = columns;
    made.group_size_ = group_size;
    made.tile_rows_ = rows > 0 ? detail::tile_rows<G>(rows) : 1;
    if (rows < 0 || columns < 0 || made.tile_rows_ < 1 || (columns > 0 && group_size < 1))
      return Status(ErrorCode::invalid_argument, "codes of ", rows, " x ", columns, " in tiles of ", made.tile_rows_,
                    " x ", group_size);
    auto codes = AlignedBuffer<std::uint8_t>::make(rows * columns);
    if (!codes) return codes.status();
    auto scales = AlignedBuffer<float>::make(made.tiles());
    if (!scales) return scales.status();
    auto zero_points = AlignedBuffer<std::int32_t>::make(made.tiles());
    if (!zero_points) return zero_points.status();
    made.codes_ = *std::move(codes);
    made.scales_ = *std::move(scales);
    made.zero_points_ = *std::move(zero_points);
    return made;
  }

  [[nodiscard]] index rows() const noexcept { return rows_; }
  [[nodiscard]] index columns() const noexcept { return columns_; }
  [[nodiscard]] index group_size() const noexcept { return group_size_; }
  /// Rows that share a scale.
  [[nodiscard]] index tile_rows() const noexcept { return tile_rows_; }
  /// Tiles across: groups of a row, 1 where whole rows share a scale.
  [[nodiscard]] index groups() const noexcept { return columns_ == 0 ? 0 : divide_up(columns_, group_size_); }

  /// One byte per code, row-major: two's complement where Scale is symmetric, else unsigned.
  [[nodiscard]] std::span<std::uint8_t> codes() noexcept { return codes_.span(); }
  [[nodiscard]] std::span<const std::uint8_t> codes() const noexcept { return codes_.span(); }
  /// Tile by tile, row-major; one element for PerTensor.
  [[nodiscard]] std::span<float> scales() noexcept { return scales_.span(); }
  [[nodiscard]] std::span<const float> scales() const noexcept { return scales_.span(); }
  [[nodiscard]] std::span<std::int32_t> zero_points() noexcept { return zero_points_.span(); }
  [[nodiscard]] std::span<const std::int32_t> zero_points() const noexcept { return zero_points_.span(); }

  [[nodiscard]] int code(index r, index c) const noexcept {
    const std::uint8_t byte = codes_[r * columns_ + c];
    return Scale::symmetry == Symmetry::symmetric ? static_cast<std::int8_t>(byte) : byte;
  }
  [[nodiscard]] Affine affine(index r, index c) const noexcept {
    const index tile = r / tile_rows_ * groups() + c / group_size_;
    return {scales_[tile], zero_points_[tile]};
  }
  [[nodiscard]] float value(index r, index c) const noexcept { return to_value(code(r, c), affine(r, c)); }

  /// y = the values of the codes; y has the shape of the matrix.
  Status dequantize(MatrixView<float> y) const noexcept {
    if (y.rows() != rows_ || y.columns() != columns_)
      return Status(ErrorCode::shape_mismatch, "dequantize: ", rows_, " x ", columns_, " codes into ", y.rows(), " x ",
                    y.columns());
    for (index r = 0; r < rows_; ++r)
      for (index c = 0; c < columns_; ++c) y(r, c) = value(r, c);
    return {};
  }

  /// The values, rows × columns, row-major.
  [[nodiscard]] Result<AlignedBuffer<float>> try_dequantize() const noexcept {
    auto values = AlignedBuffer<float>::make(rows_ * columns_);
    if (values)
      if (const Status status = dequantize({values->data(), rows_, columns_}); !status) return status;
    return values;
  }

  /// The canonical codes that files hold and kernels pack, one scale per row or group. Fails with `unsupported` where a
  /// zero point is not itself a code, which the policies that do not force 0 into the range allow.
  [[nodiscard]] Result<Codes> to_codes() const noexcept {
    auto made = Codes::make(rows_, columns_, Bits, Scale::symmetry, group_size_);
    if (!made) return made.status();
    for (std::size_t i = 0; i < codes_.span().size(); ++i) made->codes()[i] = codes_.span()[i];
    for (index r = 0; r < rows_; ++r)
      for (index g = 0; g < groups(); ++g) {
        const Affine tile = affine(r, g * group_size_);
        const auto at = static_cast<std::size_t>(r * groups() + g);
        made->scales()[at] = tile.scale;
        if (Scale::symmetry == Symmetry::symmetric) continue;
        if (tile.zero_point < 0 || tile.zero_point >= (1 << Bits))
          return Status(ErrorCode::unsupported, "the zero point ", tile.zero_point, " of row ", r, " is not a ", Bits,
                        "-bit code; use a policy that keeps 0 in the range");
        made->zero_points()[at] = static_cast<std::uint8_t>(tile.zero_point);
      }
    return made;
  }

  [[nodiscard]] Result<QuantizedMatrix> clone() const noexcept {
    auto copy = make(rows_, columns_, group_size_);
    if (!copy) return copy;
    for (std::size_t i = 0; i < codes().size(); ++i) copy->codes()[i] = codes()[i];
    for (std::size_t i = 0; i < scales().size(); ++i) {
      copy->scales()[i] = scales()[i];
      copy->zero_points()[i] = zero_points()[i];
    }
    return copy;
  }

  /// Bytes of packed codes and scales: what a file or a packed layer takes, without alignment.
  [[nodiscard]] std::size_t size_bytes() const noexcept {
    const auto codes = static_cast<std::size_t>(rows_) * ((static_cast<std::size_t>(columns_) * Bits + 7) / 8);
    return codes + scales().size() * (sizeof(float) + (Scale::symmetry == Symmetry::asymmetric ? 1 : 0));
  }

#if defined(PLANISH_HAS_EXCEPTIONS)
  /// `try_dequantize` that throws Error.
  [[nodiscard]] AlignedBuffer<float> dequantize() const { return value_or_throw(try_dequantize()); }
#endif

 private:
  QuantizedMatrix() = default;
  [[nodiscard]] index tiles() const noexcept { return divide_up(rows_, tile_rows_) * groups(); }

  index rows_ = 0, columns_ = 0, group_size_ = 1, tile_rows_ = 1;
  AlignedBuffer<std::uint8_t> codes_;
  AlignedBuffer<float> scales_;
  AlignedBuffer<std::int32_t> zero_points_;
};

}  // namespace planish::inline PLANISH_ABI
