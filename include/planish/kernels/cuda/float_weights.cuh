#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/aligned_buffer.hpp>
#include <planish/core/index.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/cuda/weight_units.cuh>
#include <planish/packing/codes.hpp>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Weights of weight-only products in the layout of weight_units.cuh; pointers of host or of device memory. Stored
/// values are unsigned: code, or code + 2^(stored_bits−1) of symmetric codes. Side data lies as [channel unit][group]
/// [64 channels]; what lies behind the last channel has scale 0.
struct FloatWeightsView {
  int stored_bits = 4;  // 2, 4 or 8
  int channels = 0;
  int columns = 0;
  int group_columns = 0;                // that share a scale: a multiple of 32
  const std::uint8_t* units = nullptr;  // [channel unit][column unit][float_unit_bytes]
  const float* scales = nullptr;
  const std::uint8_t* zeros = nullptr;  // the stored value that means 0; null: 2^(stored_bits−1) everywhere

  [[nodiscard]] PLANISH_HOST_DEVICE constexpr int channel_units() const noexcept {
    return (channels + unit_channels - 1) / unit_channels;
  }
  [[nodiscard]] PLANISH_HOST_DEVICE constexpr int column_units() const noexcept {
    return (columns + float_unit_columns - 1) / float_unit_columns;
  }
  [[nodiscard]] PLANISH_HOST_DEVICE constexpr int groups() const noexcept {
    return columns == 0 ? 0 : (columns - 1) / group_columns + 1;
  }
  [[nodiscard]] constexpr index size_bytes() const noexcept {
    return index{channel_units()} * column_units() * float_unit_bytes(stored_bits);
  }
  /// Elements of `scales`, and of `zeros`.
  [[nodiscard]] constexpr index side_count() const noexcept {
    return index{channel_units()} * groups() * unit_channels;
  }
};

/// Owner of such weights in host memory; the caller copies its three buffers to the device and makes a view of those.
class FloatWeights {
 public:
  FloatWeights() = default;

  /// Lays canonical codes out once: those of 2 bits in 2, of 3 and 4 in 4, of 5 to 8 in 8. Errors: groups that are not
  /// a multiple of 32 columns, codes or zero points outside the range of their bits, scales that are not finite, out
  /// of memory.
  static Result<FloatWeights> make(const CodesView& codes) noexcept {
    if (Status status = check(codes); !status.ok()) return status;
    FloatWeights made;
    FloatWeightsView& view = made.view_;
    view.stored_bits = codes.bits <= 2 ? 2 : codes.bits <= 4 ? 4 : 8;
    view.channels = static_cast<int>(codes.rows);
    view.columns = static_cast<int>(codes.columns);
    view.group_columns =
        codes.groups() > 1 ? static_cast<int>(codes.group_size) : std::max(view.column_units(), 1) * float_unit_columns;
    auto units = AlignedBuffer<std::uint8_t>::make(view.size_bytes());
    auto scales = AlignedBuffer<float>::make(view.side_count());
    auto zeros = AlignedBuffer<std::uint8_t>::make(view.side_count());
    if (!units) return units.status();
    if (!scales) return scales.status();
    if (!zeros) return zeros.status();
    made.units_ = *std::move(units);
    made.scales_ = *std::move(scales);
    made.zeros_ = *std::move(zeros);
    made.has_zeros_ = codes.symmetry == Symmetry::asymmetric;
    if (!made.fill(codes))
      return Status(ErrorCode::malformed, "a weight code or zero point does not fit ", codes.bits, " bits");
    return Result<FloatWeights>(std::move(made));
  }

  [[nodiscard]] FloatWeightsView view() const noexcept {
    FloatWeightsView view = view_;
    view.units = units_.data();
    view.scales = scales_.data();
    view.zeros = has_zeros_ ? zeros_.data() : nullptr;
    return view;
  }

 private:
  static Status check(const CodesView& codes) noexcept {
    if (!is_code_width(codes.bits)) return {ErrorCode::invalid_argument, "codes have 2 to 8 bits, not ", codes.bits};
    if (codes.rows < 0 || codes.columns < 0 || codes.rows > most_side || codes.columns > most_side)
      return {ErrorCode::invalid_argument, "weights of ", codes.rows, " x ", codes.columns, " on a GPU"};
    if (codes.groups() > 1 && codes.group_size % 32 != 0)
      return {ErrorCode::unsupported, "weight-only products on a GPU take groups of a multiple of 32 columns, not of ",
              codes.group_size};
    return planish::detail::check_scales(codes);
  }

  bool fill(const CodesView& codes) noexcept {
    const CodeRange range = code_range(codes.bits, codes.symmetry);
    const int bits = view_.stored_bits, groups = view_.groups();
    const int offset = codes.symmetry == Symmetry::symmetric ? 1 << (bits - 1) : 0;
    std::fill_n(units_.data(), units_.size(), std::uint8_t{0});
    for (index r = 0; r < codes.rows; ++r) {
      for (index g = 0; g < groups; ++g) {
        const Affine affine = codes.affine(r, g);
        if (affine.zero_point > range.highest) return false;
        const index at = (r / unit_channels * groups + g) * unit_channels + r % unit_channels;
        scales_[at] = affine.scale;
        zeros_[at] = static_cast<std::uint8_t>(affine.zero_point + offset);
      }
      for (index c = 0; c < codes.columns; ++c) {
        const int code = codes.code(r, c);
        if (code < range.lowest || code > range.highest) return false;
        const index unit = r / unit_channels * view_.column_units() + c / float_unit_columns;
        const UnitPosition at =
            float_unit_position(bits, static_cast<int>(r % unit_channels), static_cast<int>(c % float_unit_columns));
        std::uint8_t& byte = units_[unit * float_unit_bytes(bits) + at.byte];
        byte = static_cast<std::uint8_t>(byte | (code + offset) << at.shift);
      }
    }
    return true;
  }

  static constexpr index most_side = index{1} << 24;

  FloatWeightsView view_;  // shape; the pointers stay null here
  bool has_zeros_ = false;
  AlignedBuffer<std::uint8_t> units_;
  AlignedBuffer<float> scales_;
  AlignedBuffer<std::uint8_t> zeros_;
};

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
