#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/aligned_buffer.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/index.hpp>
#include <planish/core/rescale.hpp>
#include <planish/core/result.hpp>
#include <planish/packing/codes.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI {

/// Weights in the layout of panels.hpp. Side data lies as [panel][group][32 channels]; channels behind the last row
/// have scale 0, zero = the storage offset, sum 0.
struct PackedWeightsView {
  CodeStorage storage = CodeStorage::byte;
  index rows = 0;     // output channels
  index columns = 0;  // inputs
  index group_size = 1;
  int bits = 8;  // of the canonical codes
  Symmetry symmetry = Symmetry::symmetric;
  const std::uint8_t* panels = nullptr;
  const float* scales = nullptr;
  const std::int32_t* zeros = nullptr;  // stored value that means 0
  const std::int32_t* sums = nullptr;   // sum of (stored − zero) over the columns of the group

  [[nodiscard]] index groups() const noexcept { return columns == 0 ? 0 : divide_up(columns, group_size); }
  [[nodiscard]] index panel_count() const noexcept { return planish::panel_count(rows); }
  [[nodiscard]] index panel_bytes() const noexcept { return line_count(columns) * line_bytes(storage); }

  /// Index into scales, zeros and sums.
  [[nodiscard]] index side_index(index row, index group) const noexcept {
    return (row / panel_width * groups() + group) * panel_width + row % panel_width;
  }
  [[nodiscard]] int stored(index row, index column) const noexcept {
    return stored_value(storage, panels, panel_position(storage, row, column, columns));
  }
  /// (stored − zero) · scale.
  [[nodiscard]] float value(index row, index column) const noexcept {
    const index at = side_index(row, column / group_size);
    return to_value(stored(row, column), {scales[at], zeros[at]});
  }
};

/// Longest run of columns under one scale whose exact product with any 8-bit activation stays inside int32.
[[nodiscard]] constexpr index most_group_columns(int bits, Symmetry symmetry) noexcept {
  constexpr index greatest_activation = 255;  // |code − zero point|
  const index greatest_weight = symmetry == Symmetry::symmetric ? index{1} << (bits - 1) : (index{1} << bits) - 1;
  return std::numeric_limits<std::int32_t>::max() / (greatest_activation * greatest_weight);
}

/// Packed weights: their owner, or a borrower of an image of them.
class PackedWeights {
 public:
  PackedWeights() = default;

  /// Packs canonical codes once. Errors: a row too long for exact int32 sums, scales that are not finite, codes or zero
  /// points outside the range of their bits, out of memory.
  PLANISH_LAZY static Result<PackedWeights> make(const CodesView& codes) noexcept {
    PackedWeights made;
    if (Status status = check(codes); !status.ok()) return status;
    PackedWeightsView& view = made.view_;
    view.storage = code_storage(codes.bits);
    view.rows = codes.rows;
    view.columns = codes.columns;
    view.group_size = codes.group_size;
    view.bits = codes.bits;
    view.symmetry = codes.symmetry;
    const index side = view.panel_count() * view.groups() * panel_width;
    auto panels = AlignedBuffer<std::uint8_t>::make(view.panel_count() * view.panel_bytes());
    auto scales = AlignedBuffer<float>::make(side);
    auto zeros = AlignedBuffer<std::int32_t>::make(side);
    auto sums = AlignedBuffer<std::int32_t>::make(side);
    if (!panels) return panels.status();
    if (!scales) return scales.status();
    if (!zeros) return zeros.status();
    if (!sums) return sums.status();
    made.panels_ = *std::move(panels);
    made.scales_ = *std::move(scales);
    made.zeros_ = *std::move(zeros);
    made.sums_ = *std::move(sums);
    return made.fill(codes)
               ? Result<PackedWeights>(std::move(made))
               : Result<PackedWeights>(
                     Status(ErrorCode::malformed, "a weight code or zero point does not fit ", codes.bits, " bits"));
  }

  /// Weights that were packed before and lie in memory that stays as it is, a mapped file's for example; nothing is
  /// copied. Errors: what `make` refuses of shapes, scales that are not finite, zero points that no stored value means.
  PLANISH_LAZY static Result<PackedWeights> borrow(const PackedWeightsView& view) noexcept {
    const int bits = view.storage == CodeStorage::nibble ? 4 : 8;  // whatever the image may hold
    if (view.storage != code_storage(view.bits))
      return Status(ErrorCode::invalid_argument, "weights of ", view.bits, " bits are not stored that way");
    if (Status status = check_shape(view.rows, view.columns, view.group_size, view.bits, bits, view.symmetry);
        !status.ok())
      return status;
    const index side = view.panel_count() * view.groups() * panel_width;
    if (view.panel_count() * view.panel_bytes() > 0 &&
        (view.panels == nullptr || view.scales == nullptr || view.zeros == nullptr || view.sums == nullptr))
      return Status(ErrorCode::invalid_argument, "packed weights without their panels, scales, zeros or sums");
    for (index i = 0; i < side; ++i) {
      if (!is_finite(view.scales[i])) return Status(ErrorCode::not_finite, "weight scale ", i, " is not finite");
      if (view.zeros[i] < 0 || view.zeros[i] >= 1 << bits)
        return Status(ErrorCode::malformed, "weight zero point ", view.zeros[i], " is no stored value");
    }
    PackedWeights made;
    made.view_ = view;
    return Result<PackedWeights>(std::move(made));
  }

  [[nodiscard]] PackedWeightsView view() const noexcept {
    PackedWeightsView view = view_;
    if (view.panels != nullptr) return view;  // borrowed
    view.panels = panels_.data();
    view.scales = scales_.data();
    view.zeros = zeros_.data();
    view.sums = sums_.data();
    return view;
  }

  /// The canonical codes again, equal to those that were packed.
  PLANISH_LAZY [[nodiscard]] Result<Codes> unpack() const noexcept {
    auto codes = Codes::make(view_.rows, view_.columns, view_.bits, view_.symmetry, view_.group_size);
    if (!codes) return codes;
    const PackedWeightsView from = view();
    const int offset = view_.symmetry == Symmetry::symmetric ? storage_offset(view_.storage) : 0;
    for (index r = 0; r < from.rows; ++r) {
      for (index c = 0; c < from.columns; ++c)
        codes->codes()[static_cast<std::size_t>(r * from.columns + c)] =
            static_cast<std::uint8_t>(from.stored(r, c) - offset);
      for (index g = 0; g < from.groups(); ++g) {
        const auto to = static_cast<std::size_t>(r * from.groups() + g);
        codes->scales()[to] = from.scales[from.side_index(r, g)];
        if (view_.symmetry == Symmetry::asymmetric)
          codes->zero_points()[to] = static_cast<std::uint8_t>(from.zeros[from.side_index(r, g)]);
      }
    }
    return codes;
  }

  /// Memory that they take, side data included, whoever owns it.
  [[nodiscard]] std::size_t size_bytes() const noexcept {
    const index side = view_.panel_count() * view_.groups() * panel_width;
    constexpr auto each = static_cast<index>(sizeof(float) + 2 * sizeof(std::int32_t));
    return static_cast<std::size_t>(view_.panel_count() * view_.panel_bytes() + side * each);
  }

 private:
  /// `held_bits`: of the greatest code that may be met.
  static Status check_shape(index rows, index columns, index group_size, int bits, int held_bits,
                            Symmetry symmetry) noexcept {
    if (!is_code_width(bits)) return {ErrorCode::invalid_argument, "codes have 2 to 8 bits, not ", bits};
    if (rows < 0 || columns < 0 || group_size <= 0)
      return {ErrorCode::invalid_argument, "weights of ", rows, " x ", columns, " in groups of ", group_size};
    if (columns > most_columns)
      return {ErrorCode::unsupported, "rows of ", columns, " weights: exact int32 sums end at ", most_columns};
    const index together = std::min(group_size, columns), most = most_group_columns(held_bits, symmetry);
    if (together > most)
      return {ErrorCode::unsupported,
              "groups of ",
              together,
              " weights of ",
              bits,
              " bits: exact int32 sums end at ",
              most};
    return {};
  }

  static Status check(const CodesView& codes) noexcept {
    if (Status status =
            check_shape(codes.rows, codes.columns, codes.group_size, codes.bits, codes.bits, codes.symmetry);
        !status.ok())
      return status;
    return detail::check_scales(codes);
  }

  /// False if a code or zero point is outside its range.
  PLANISH_LAZY bool fill(const CodesView& codes) noexcept {
    const PackedWeightsView view = this->view();
    const CodeRange range = code_range(codes.bits, codes.symmetry);
    const int offset = storage_offset(view.storage);
    const int added = codes.symmetry == Symmetry::symmetric ? offset : 0;
    const int filler = view.storage == CodeStorage::nibble ? offset * 17 : offset;
    std::fill_n(panels_.data(), panels_.size(), static_cast<std::uint8_t>(filler));
    std::fill_n(zeros_.data(), zeros_.size(), offset);
    for (index r = 0; r < codes.rows; ++r) {
      for (index g = 0; g < codes.groups(); ++g) {
        const Affine affine = codes.affine(r, g);
        if (affine.zero_point > range.highest) return false;
        const index at = view.side_index(r, g);
        scales_[at] = affine.scale;
        zeros_[at] = affine.zero_point + added;
        std::int32_t sum = 0;
        const index end = std::min(codes.columns, (g + 1) * codes.group_size);
        for (index c = g * codes.group_size; c < end; ++c) {
          const int code = codes.code(r, c);
          if (code < range.lowest || code > range.highest) return false;
          sum += code - affine.zero_point;
          const PanelPosition position = panel_position(view.storage, r, c, codes.columns);
          std::uint8_t& byte = panels_[position.byte];
          byte = view.storage == CodeStorage::nibble
                     ? static_cast<std::uint8_t>((byte & ~(15 << position.shift)) | ((code + added) << position.shift))
                     : static_cast<std::uint8_t>(code + added);
        }
        sums_[at] = sum;
      }
    }
    return true;
  }

  PackedWeightsView view_;  // shape and scheme; pointers only where the image is borrowed
  AlignedBuffer<std::uint8_t> panels_;
  AlignedBuffer<float> scales_;
  AlignedBuffer<std::int32_t> zeros_;
  AlignedBuffer<std::int32_t> sums_;
};

}  // namespace planish::inline PLANISH_ABI
