#pragma once
// The two factors of a Kronecker transform as the fragments of matrix products.
#include <cstdint>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/aligned_buffer.hpp>
#include <planish/core/half.hpp>
#include <planish/core/index.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/cuda/element_type.cuh>
#include <planish/kernels/cuda/group_columns.cuh>
#include <planish/kernels/cuda/matrix_fragments.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Column of M that column `c` (0 … 7) of product `tile` of the second product computes, with `tiles` products in all.
/// Eight products together (the last ones: as many as are left) are so dealt that a lane has neighbouring columns.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int kronecker_column(int tiles, int tile, int c) noexcept {
  const int first = tile / 8 * 8, together = tiles - first < 8 ? tiles - first : 8;
  return 8 * first + 2 * together * (c / 2) + 2 * (tile - first) + c % 2;
}

/// Products of 16 rows or columns that n elements take.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int sixteens(int n) noexcept { return (n + 15) / 16; }

/// Two factors, padded with zeros to multiples of 16; pointers of host or of device memory.
struct KroneckerFactorsView {
  int n1 = 0, n2 = 0;
  ElementType type = ElementType::bfloat16;  // or half: of the factors, and of the rows between the two products
  const std::uint16_t* left = nullptr;       // Lᵀ: [16 rows][16 k][lane][register][half]
  const std::uint16_t* right = nullptr;      // R: [16 k][16 columns][lane][product][register][half]
  // R by columns, then Lᵀ by rows, in chunks of 64 k, as products of warpgroups read them from shared memory: one copy
  // in bulk. Null: made from the above by every block, which a launch of few rows waits for.
  const std::uint16_t* panels = nullptr;

  [[nodiscard]] constexpr index left_size() const noexcept { return index{sixteens(n1)} * sixteens(n1) * 256; }
  [[nodiscard]] constexpr index right_size() const noexcept { return index{sixteens(n2)} * sixteens(n2) * 256; }
  /// Warpgroups that a token takes: each has 64 rows.
  [[nodiscard]] PLANISH_HOST_DEVICE constexpr int row_groups() const noexcept { return n1 <= 64 ? 1 : 2; }
  [[nodiscard]] constexpr index right_panel_size() const noexcept { return (index{n2} + 63) / 64 * n2 * 64; }
  /// 0 for sizes that those products do not take.
  [[nodiscard]] constexpr index panels_size() const noexcept {
    return n1 <= 128 && n2 % 16 == 0 ? right_panel_size() + index{row_groups()} * row_groups() * 64 * 64 : 0;
  }
};

/// Owner of such factors in host memory; the caller copies both buffers to the device, and the panels if it likes.
class KroneckerFactors {
 public:
  KroneckerFactors() = default;

  /// left: n1 × n1, right: n2 × n2, row-major; null stands for the identity. Each element is rounded to `type`.
  /// Errors: sizes outside 1 … 256 or a product beyond 32768, another type, elements that are not finite once rounded,
  /// out of memory.
  static Result<KroneckerFactors> make(int n1, int n2, const float* left, const float* right,
                                       ElementType type) noexcept {
    if (n1 < 1 || n2 < 1 || n1 > 256 || n2 > 256 || n1 * n2 > 32768)
      return Status(ErrorCode::unsupported, "Kronecker factors of ", n1, " and ", n2,
                    ": matrix units take up to 256 each and 32768 together");
    if (type != ElementType::bfloat16 && type != ElementType::half)
      return Status(ErrorCode::invalid_argument, "factors for matrix units are bfloat16 or half, not ",
                    element_name(type));
    KroneckerFactors made;
    made.view_.n1 = n1;
    made.view_.n2 = n2;
    made.view_.type = type;
    auto lefts = AlignedBuffer<std::uint16_t>::make(made.view_.left_size());
    auto rights = AlignedBuffer<std::uint16_t>::make(made.view_.right_size());
    if (!lefts) return lefts.status();
    if (!rights) return rights.status();
    auto panels = AlignedBuffer<std::uint16_t>::make(made.view_.panels_size());
    if (!panels) return panels.status();
    made.panels_ = *std::move(panels);
    made.left_ = *std::move(lefts);
    made.right_ = *std::move(rights);
    if (!made.fill(left, right)) return Status(ErrorCode::not_finite, "a Kronecker factor is not finite");
    return Result<KroneckerFactors>(std::move(made));
  }

  [[nodiscard]] KroneckerFactorsView view() const noexcept {
    KroneckerFactorsView view = view_;
    view.left = left_.data();
    view.right = right_.data();
    return view;
  }
  /// What `KroneckerFactorsView::panels` points to a copy of, `view().panels_size()` elements; the view leaves it null.
  [[nodiscard]] const std::uint16_t* panels() const noexcept { return panels_.data(); }

 private:
  static float element(const float* matrix, int n, int row, int column) noexcept {
    if (row >= n || column >= n) return 0.0f;
    return matrix == nullptr ? (row == column ? 1.0f : 0.0f) : matrix[row * n + column];
  }

  bool put(std::uint16_t& to, float value) noexcept {
    to = view_.type == ElementType::bfloat16 ? BFloat16::from_float(value).bits : Half::from_float(value).bits;
    return is_finite(view_.type == ElementType::bfloat16 ? BFloat16{to}.to_float() : Half{to}.to_float());
  }

  bool fill(const float* left, const float* right) noexcept {
    bool finite = true;
    std::uint16_t* to = left_.data();
    for (int m = 0; m < sixteens(view_.n1); ++m)
      for (int k = 0; k < sixteens(view_.n1); ++k)
        for (int at = 0; at < 256; ++at) {
          const Element e = half_a_element(at / 8, at / 2 % 4, at % 2);  // of Lᵀ
          finite = put(*to++, element(left, view_.n1, 16 * k + e.column, 16 * m + e.row)) && finite;
        }
    to = right_.data();
    const int tiles = 2 * sixteens(view_.n2);
    for (int k = 0; k < sixteens(view_.n2); ++k)
      for (int pair = 0; pair < tiles / 2; ++pair)
        for (int at = 0; at < 256; ++at) {
          const Element e = half_b_element(at / 8, at / 2 % 2, at % 2);
          const int column = kronecker_column(tiles, 2 * pair + at / 4 % 2, e.column);
          finite = put(*to++, element(right, view_.n2, 16 * k + e.row, column)) && finite;
        }
    if (view_.panels_size() > 0) fill_panels(left, right);
    return finite;
  }

  void fill_panels(const float* left, const float* right) noexcept {
    for (index i = 0; i < view_.panels_size(); ++i) panels_.data()[i] = 0;
    const auto chunk = [this](index begin, index rows, int row, int k) -> std::uint16_t& {
      return panels_.data()[begin + k / 64 * rows * 64 + exchanged_offset(row, k % 64 * 2) / 2];
    };
    for (int row = 0; row < view_.n2; ++row)
      for (int k = 0; k < view_.n2; ++k)
        (void)put(chunk(0, view_.n2, row, k),
                  element(right, view_.n2, k, kronecker_column(view_.n2 / 8, row / 8, row % 8)));
    for (int row = 0; row < view_.n1; ++row)
      for (int k = 0; k < view_.n1; ++k)
        (void)put(chunk(view_.right_panel_size(), 64 * view_.row_groups(), row, k), element(left, view_.n1, k, row));
  }

  KroneckerFactorsView view_;  // shape; the pointers stay null here
  AlignedBuffer<std::uint16_t> left_;
  AlignedBuffer<std::uint16_t> right_;
  AlignedBuffer<std::uint16_t> panels_;
};

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
