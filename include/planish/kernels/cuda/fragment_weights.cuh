#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/aligned_buffer.hpp>
#include <planish/core/index.hpp>
#include <planish/core/rescale.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/cuda/matrix_fragments.cuh>
#include <planish/packing/codes.hpp>
#include <planish/packing/packed_weights.hpp>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Weights in the layout of matrix_fragments.cuh, with a scale per channel or per group of columns; pointers of host or
/// of device memory. Side data lies as [channel unit][group][64 channels]. Stored values are signed: code, or code −
/// 2^(stored_bits−1) of asymmetric codes. What lies behind the last channel or column is 0.
struct FragmentWeightsView {
  int stored_bits = 8;  // 4 or 8
  int channels = 0;
  int columns = 0;
  int group_columns = 0;                // that share a scale: a multiple of 32; 0: all of a channel
  const std::uint8_t* units = nullptr;  // [channel unit][column unit][unit_bytes]
  const float* scales = nullptr;
  const std::int32_t* zeros = nullptr;  // the stored value that means 0; null when all are 0
  const std::int32_t* sums = nullptr;   // Σ (stored − zero) over the columns of the group

  [[nodiscard]] PLANISH_HOST_DEVICE constexpr int channel_units() const noexcept {
    return (channels + unit_channels - 1) / unit_channels;
  }
  [[nodiscard]] PLANISH_HOST_DEVICE constexpr int column_units() const noexcept {
    return (columns + unit_columns - 1) / unit_columns;
  }
  [[nodiscard]] PLANISH_HOST_DEVICE constexpr int groups() const noexcept {
    return group_columns == 0 || columns == 0 ? 1 : (columns - 1) / group_columns + 1;
  }
  /// Elements of scales, zeros and sums.
  [[nodiscard]] constexpr index side_count() const noexcept {
    return index{channel_units()} * groups() * unit_channels;
  }
  [[nodiscard]] constexpr index size_bytes() const noexcept {
    return index{channel_units()} * column_units() * unit_bytes(stored_bits);
  }
};

/// Owner of such weights in host memory; the caller copies its four buffers to the device and makes a view of those.
class FragmentWeights {
 public:
  FragmentWeights() = default;

  /// Lays canonical codes of 2 to 8 bits out once. Errors: groups that are not a multiple of 32 columns, rows or groups
  /// too long for exact int32 sums, codes or zero points outside the range of their bits, scales that are not finite,
  /// out of memory.
  static Result<FragmentWeights> make(const CodesView& codes) noexcept {
    if (Status status = check(codes); !status.ok()) return status;
    FragmentWeights made;
    made.view_.stored_bits = codes.bits <= 4 ? 4 : 8;
    made.view_.channels = static_cast<int>(codes.rows);
    made.view_.columns = static_cast<int>(codes.columns);
    made.view_.group_columns = codes.groups() > 1 ? static_cast<int>(codes.group_size) : 0;
    auto units = AlignedBuffer<std::uint8_t>::make(made.view_.size_bytes());
    auto scales = AlignedBuffer<float>::make(made.view_.side_count());
    auto zeros = AlignedBuffer<std::int32_t>::make(made.view_.side_count());
    auto sums = AlignedBuffer<std::int32_t>::make(made.view_.side_count());
    if (!units) return units.status();
    if (!scales) return scales.status();
    if (!zeros) return zeros.status();
    if (!sums) return sums.status();
    made.units_ = *std::move(units);
    made.scales_ = *std::move(scales);
    made.zeros_ = *std::move(zeros);
    made.sums_ = *std::move(sums);
    if (!made.fill(codes))
      return Status(ErrorCode::malformed, "a weight code or zero point does not fit ", codes.bits, " bits");
    return Result<FragmentWeights>(std::move(made));
  }

  [[nodiscard]] FragmentWeightsView view() const noexcept {
    FragmentWeightsView view = view_;
    view.units = units_.data();
    view.scales = scales_.data();
    view.zeros = has_zeros_ ? zeros_.data() : nullptr;
    view.sums = sums_.data();
    return view;
  }

 private:
  static Status check(const CodesView& codes) noexcept {
    if (!is_code_width(codes.bits)) return {ErrorCode::invalid_argument, "codes have 2 to 8 bits, not ", codes.bits};
    if (codes.rows < 0 || codes.columns < 0 || codes.rows > most_channels)
      return {ErrorCode::invalid_argument, "weights of ", codes.rows, " x ", codes.columns, " on a GPU"};
    const index together = std::min(codes.columns, codes.group_size);
    if (together > most_group_columns(codes.bits, codes.symmetry) || codes.columns > most_columns)
      return {ErrorCode::unsupported, "rows of ", codes.columns, " weights are too long for exact int32 sums"};
    if (codes.groups() > 1 && codes.group_size % 32 != 0)
      return {ErrorCode::unsupported, "integer products on a GPU take groups of a multiple of 32 columns, not of ",
              codes.group_size};
    return planish::detail::check_scales(codes);
  }

  bool fill(const CodesView& codes) noexcept {
    const CodeRange range = code_range(codes.bits, codes.symmetry);
    const int bits = view_.stored_bits;
    const int offset = codes.symmetry == Symmetry::asymmetric ? 1 << (bits - 1) : 0;
    std::fill_n(units_.data(), units_.size(), std::uint8_t{0});
    for (index r = 0; r < codes.rows; ++r) {
      const auto side = [&](index g) {
        return (r / unit_channels * view_.groups() + g) * unit_channels + r % unit_channels;
      };
      for (index g = 0; g < codes.groups(); ++g) {
        const Affine affine = codes.affine(r, g);
        if (affine.zero_point > range.highest) return false;
        scales_[side(g)] = affine.scale;
        zeros_[side(g)] = affine.zero_point - offset;
        has_zeros_ = has_zeros_ || zeros_[side(g)] != 0;
      }
      for (index c = 0; c < codes.columns; ++c) {
        const int code = codes.code(r, c);
        if (code < range.lowest || code > range.highest) return false;
        const index at_side = side(c / codes.group_size);
        sums_[at_side] += code - offset - zeros_[at_side];
        const index unit = r / unit_channels * view_.column_units() + c / unit_columns;
        const UnitPosition at =
            unit_position(bits, static_cast<int>(r % unit_channels), static_cast<int>(c % unit_columns));
        std::uint8_t& byte = units_[unit * unit_bytes(bits) + at.byte];
        const int mask = (1 << bits) - 1;
        byte = static_cast<std::uint8_t>((byte & ~(mask << at.shift)) | (((code - offset) & mask) << at.shift));
      }
    }
    return true;
  }

  static constexpr index most_channels = index{1} << 30;

  FragmentWeightsView view_;  // shape; the pointers stay null here
  bool has_zeros_ = false;
  AlignedBuffer<std::uint8_t> units_;
  AlignedBuffer<float> scales_;
  AlignedBuffer<std::int32_t> zeros_;
  AlignedBuffer<std::int32_t> sums_;
};

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
