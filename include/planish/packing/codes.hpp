#pragma once
#include <cstdint>
#include <span>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/aligned_buffer.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/index.hpp>
#include <planish/core/result.hpp>
#include <planish/core/scheme.hpp>

namespace planish::inline PLANISH_ABI {

/// Canonical codes of a matrix: what a quantizer makes and what files hold. One byte per code, row-major; every run of
/// `group_size` neighbouring columns of a row shares a scale (the last run may be shorter).
struct CodesView {
  const std::uint8_t* codes = nullptr;  // rows × columns; symmetric: two's complement int8, asymmetric: unsigned
  index rows = 0;
  index columns = 0;
  int bits = 8;  // 2 to 8
  Symmetry symmetry = Symmetry::symmetric;
  index group_size = 1;                       // columns that share a scale; == columns when per channel
  const float* scales = nullptr;              // rows × groups
  const std::uint8_t* zero_points = nullptr;  // rows × groups; null when symmetric

  /// Scales per row.
  [[nodiscard]] index groups() const noexcept { return columns == 0 ? 0 : divide_up(columns, group_size); }

  [[nodiscard]] int code(index r, index c) const noexcept {
    const std::uint8_t stored = codes[r * columns + c];
    return symmetry == Symmetry::symmetric ? static_cast<std::int8_t>(stored) : stored;
  }

  [[nodiscard]] Affine affine(index r, index group) const noexcept {
    const index at = r * groups() + group;
    return {scales[at], zero_points == nullptr ? 0 : zero_points[at]};
  }

  /// (code − zero point) · scale.
  [[nodiscard]] float value(index r, index c) const noexcept { return to_value(code(r, c), affine(r, c / group_size)); }
};

namespace detail {
/// What every layout asks of codes beside their shape. Errors: asymmetric ones without zero points, a scale that is NaN
/// or infinite.
[[nodiscard]] inline Status check_scales(const CodesView& codes) noexcept {
  const index count = codes.rows * codes.groups();
  if (codes.symmetry == Symmetry::asymmetric && codes.zero_points == nullptr && count > 0)
    return {ErrorCode::invalid_argument, "asymmetric codes without zero points"};
  for (index i = 0; i < count; ++i)
    if (!is_finite(codes.scales[i])) return {ErrorCode::not_finite, "weight scale ", i, " is not finite"};
  return {};
}
}  // namespace detail

/// Owner of canonical codes. All codes, scales and zero points are 0 at first.
class Codes {
 public:
  Codes() = default;

  /// rows × columns codes of `bits` bits. `group_size` 0 means per channel. Errors: a width outside 2..8, a negative
  /// size, out of memory.
  PLANISH_LAZY static Result<Codes> make(index rows, index columns, int bits, Symmetry symmetry,
                                         index group_size = 0) noexcept {
    if (!is_code_width(bits)) return Status(ErrorCode::invalid_argument, "codes have 2 to 8 bits, not ", bits);
    if (rows < 0 || columns < 0 || group_size < 0)
      return Status(ErrorCode::invalid_argument, "codes of ", rows, " x ", columns, " in groups of ", group_size);
    if (columns != 0 && rows > most_elements / columns)
      return Status(ErrorCode::out_of_memory, "codes of ", rows, " x ", columns);
    Codes made;
    made.view_.rows = rows;
    made.view_.columns = columns;
    made.view_.bits = bits;
    made.view_.symmetry = symmetry;
    made.view_.group_size = group_size == 0 || group_size > columns ? (columns == 0 ? 1 : columns) : group_size;
    const index tiles = rows * made.view_.groups();
    auto codes = AlignedBuffer<std::uint8_t>::make(rows * columns);
    auto scales = AlignedBuffer<float>::make(tiles);
    auto zero_points = AlignedBuffer<std::uint8_t>::make(symmetry == Symmetry::symmetric ? 0 : tiles);
    if (!codes) return codes.status();
    if (!scales) return scales.status();
    if (!zero_points) return zero_points.status();
    made.codes_ = *std::move(codes);
    made.scales_ = *std::move(scales);
    made.zero_points_ = *std::move(zero_points);
    return Result<Codes>(std::move(made));
  }

  [[nodiscard]] CodesView view() const noexcept {
    CodesView view = view_;
    view.codes = codes_.data();
    view.scales = scales_.data();
    view.zero_points = zero_points_.data();
    return view;
  }

  [[nodiscard]] index rows() const noexcept { return view_.rows; }
  [[nodiscard]] index columns() const noexcept { return view_.columns; }
  [[nodiscard]] index groups() const noexcept { return view_.groups(); }
  [[nodiscard]] index group_size() const noexcept { return view_.group_size; }
  [[nodiscard]] int bits() const noexcept { return view_.bits; }
  [[nodiscard]] Symmetry symmetry() const noexcept { return view_.symmetry; }

  [[nodiscard]] std::span<std::uint8_t> codes() noexcept { return codes_.span(); }              // rows × columns
  [[nodiscard]] std::span<float> scales() noexcept { return scales_.span(); }                   // rows × groups
  [[nodiscard]] std::span<std::uint8_t> zero_points() noexcept { return zero_points_.span(); }  // empty if symmetric

  /// A copy, asked for by name.
  PLANISH_LAZY [[nodiscard]] Result<Codes> clone() const noexcept {
    auto codes = codes_.clone();
    auto scales = scales_.clone();
    auto zero_points = zero_points_.clone();
    if (!codes) return codes.status();
    if (!scales) return scales.status();
    if (!zero_points) return zero_points.status();
    Codes copy;
    copy.view_ = view_;
    copy.codes_ = *std::move(codes);
    copy.scales_ = *std::move(scales);
    copy.zero_points_ = *std::move(zero_points);
    return Result<Codes>(std::move(copy));
  }

 private:
  CodesView view_;  // shape and scheme; the pointers stay null here
  AlignedBuffer<std::uint8_t> codes_;
  AlignedBuffer<float> scales_;
  AlignedBuffer<std::uint8_t> zero_points_;
};

}  // namespace planish::inline PLANISH_ABI
