#pragma once
// Codes of two rows that lie element beside element.
#include <array>
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/bracketed_codes.hpp>
#include <planish/kernels/cpu/isa/lane_groups.hpp>
#include <planish/kernels/cpu/quantize_rows.hpp>
#include <planish/packing/quantized_rows.hpp>
#include <planish/packing/row_quantizer.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

#if defined(PLANISH_HAS_AVX512VNNI)
/// True where two rows of n can become codes without being separated first.
[[nodiscard]] constexpr bool quantizes_abreast(index n) noexcept { return 2 * n % BracketedCodes<2>::block == 0; }

/// Two rows on their way to codes, 2 n values in turns, as RowOnItsWay is one.
class TwoRowsOnTheirWay {
 public:
  PLANISH_LAZY TwoRowsOnTheirWay(const float* both, index n, const RowQuantizer& q) noexcept
      : both_(both), n_(n), offset_(q.storage_offset()) {
    const std::array<RowRange, 2> seen = RowRange::of_two(both, 2 * n);
    if (!seen[0].finite || !seen[1].finite) return;
    const CodeRange range = code_range(q.bits, q.symmetry);
    usable_ = true;
    for (std::size_t t = 0; t < 2; ++t) {
      affine_[t] = q.affine(seen[t].values);
      usable_ = usable_ && Quotient::by_reciprocal(affine_[t].scale, seen[t].values);
      codes_.set(static_cast<int>(t), affine_[t].scale, seen[t].values,
                 static_cast<float>(range.lowest - affine_[t].zero_point),
                 static_cast<float>(range.highest - affine_[t].zero_point), stored_zero(t));
    }
  }

  [[nodiscard]] const float* both() const noexcept { return both_; }

  /// Codes, scales, sums and zero points to rows r and r + 1; false, and rows that are to be made again, where one is
  /// not finite or a value lies so near a half step that it must be divided.
  PLANISH_LAZY [[nodiscard]] bool write(QuantizedRowsSpan out, index r) const noexcept {
    CodeSums sums;
    std::int8_t *to0 = out.row(r), *to1 = out.row(r + 1);
    const auto store = [&](IntBatch a, IntBatch b, IntBatch c, IntBatch d) __attribute__((always_inline)) {
      store_codes_of_two_rows(a, b, c, d, to0, to1, sums);
      to0 += BracketedCodes<2>::block / 2;
      to1 += BracketedCodes<2>::block / 2;
    };
    if (!usable_ || !codes_.write(both_, 2 * n_, store)) return false;
    for (std::size_t t = 0; t < 2; ++t) {
      const index row = r + static_cast<index>(t);
      out.scales[row] = affine_[t].scale;
      out.sums[row] = sums.half(static_cast<int>(t));
      if (out.zero_points != nullptr) out.zero_points[row] = stored_zero(t);
      if (n_ < out.stride) std::memset(out.row(row) + n_, 0, static_cast<std::size_t>(out.stride - n_));
    }
    return true;
  }

 private:
  [[nodiscard]] std::int32_t stored_zero(std::size_t t) const noexcept { return affine_[t].zero_point - offset_; }

  const float* both_;
  index n_;
  int offset_;
  bool usable_ = false;
  std::array<Affine, 2> affine_{};
  BracketedCodes<2> codes_;
};
#else
[[nodiscard]] constexpr bool quantizes_abreast(index) noexcept { return false; }
class TwoRowsOnTheirWay {
 public:
  TwoRowsOnTheirWay(const float* both, index, const RowQuantizer&) noexcept : both_(both) {}
  [[nodiscard]] const float* both() const noexcept { return both_; }
  [[nodiscard]] bool write(QuantizedRowsSpan, index) const noexcept { return false; }

 private:
  const float* both_;
};
#endif

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
