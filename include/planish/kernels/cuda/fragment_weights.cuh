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

/// Weights in the layout of matrix_fragments.cuh, with one scale per channel; pointers of host or of device memory.
/// Stored values are signed: code, or code − 2^(stored_bits−1) of asymmetric codes. What lies behind the last channel
/// or column is 0.
struct FragmentWeightsView {
  int stored_bits = 8;  // 4 or 8
  int channels = 0;
  int columns = 0;
  const std::uint8_t* units = nullptr;  // [channel unit][column unit][unit_bytes]
  const float* scales = nullptr;        // padded channels
  const std::int32_t* zeros = nullptr;  // padded channels: the stored value that means 0; null when all are 0
  const std::int32_t* sums = nullptr;   // padded channels: Σ (stored − zero) over the columns

  [[nodiscard]] PLANISH_HOST_DEVICE constexpr int channel_units() const noexcept {
    return (channels + unit_channels - 1) / unit_channels;
  }
  [[nodiscard]] PLANISH_HOST_DEVICE constexpr int column_units() const noexcept {
    return (columns + unit_columns - 1) / unit_columns;
  }
  [[nodiscard]] constexpr index padded_channels() const noexcept { return index{channel_units()} * unit_channels; }
  [[nodiscard]] constexpr index size_bytes() const noexcept {
    return index{channel_units()} * column_units() * unit_bytes(stored_bits);
  }
};

/// Owner of such weights in host memory; the caller copies its four buffers to the device and makes a view of those.
class FragmentWeights {
 public:
  FragmentWeights() = default;

  /// Lays canonical codes of 2 to 8 bits out once. Errors: more than one scale per channel, rows too long for exact
  /// int32 sums, codes or zero points outside the range of their bits, scales that are not finite, out of memory.
  static Result<FragmentWeights> make(const CodesView& codes) noexcept {
    if (Status status = check(codes); !status.ok()) return status;
    FragmentWeights made;
    made.view_.stored_bits = codes.bits <= 4 ? 4 : 8;
    made.view_.channels = static_cast<int>(codes.rows);
    made.view_.columns = static_cast<int>(codes.columns);
    auto units = AlignedBuffer<std::uint8_t>::make(made.view_.size_bytes());
    auto scales = AlignedBuffer<float>::make(made.view_.padded_channels());
    auto zeros = AlignedBuffer<std::int32_t>::make(made.view_.padded_channels());
    auto sums = AlignedBuffer<std::int32_t>::make(made.view_.padded_channels());
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
    if (codes.columns > most_group_columns(codes.bits, codes.symmetry) || codes.columns > most_columns)
      return {ErrorCode::unsupported, "rows of ", codes.columns, " weights are too long for exact int32 sums"};
    if (codes.groups() > 1)
      return {ErrorCode::unsupported, "integer products on a GPU take one scale per channel, not groups of ",
              codes.group_size};
    if (codes.symmetry == Symmetry::asymmetric && codes.zero_points == nullptr && codes.rows * codes.groups() > 0)
      return {ErrorCode::invalid_argument, "asymmetric codes without zero points"};
    for (index i = 0; i < codes.rows * codes.groups(); ++i)
      if (!is_finite(codes.scales[i])) return {ErrorCode::not_finite, "weight scale ", i, " is not finite"};
    return {};
  }

  bool fill(const CodesView& codes) noexcept {
    const CodeRange range = code_range(codes.bits, codes.symmetry);
    const int bits = view_.stored_bits;
    const int offset = codes.symmetry == Symmetry::asymmetric ? 1 << (bits - 1) : 0;
    std::fill_n(units_.data(), units_.size(), std::uint8_t{0});
    for (index r = 0; r < codes.rows; ++r) {
      const Affine affine = codes.groups() == 0 ? Affine{} : codes.affine(r, 0);
      if (affine.zero_point > range.highest) return false;
      const std::int32_t zero = affine.zero_point - offset;
      scales_[r] = affine.scale;
      zeros_[r] = zero;
      has_zeros_ = has_zeros_ || zero != 0;
      std::int32_t sum = 0;
      for (index c = 0; c < codes.columns; ++c) {
        const int code = codes.code(r, c);
        if (code < range.lowest || code > range.highest) return false;
        sum += code - affine.zero_point;
        const index unit = r / unit_channels * view_.column_units() + c / unit_columns;
        const UnitPosition at =
            unit_position(bits, static_cast<int>(r % unit_channels), static_cast<int>(c % unit_columns));
        std::uint8_t& byte = units_[unit * unit_bytes(bits) + at.byte];
        const int mask = (1 << bits) - 1;
        byte = static_cast<std::uint8_t>((byte & ~(mask << at.shift)) | (((code - offset) & mask) << at.shift));
      }
      sums_[r] = sum;
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
