#pragma once
// Kronecker products whose right factor fills vectors: everything between memory and registers lies in panels. Two rows
// go element beside element where one would leave part of a vector empty.
#include <algorithm>
#include <cstdint>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/isa/lane_groups.hpp>
#include <planish/kernels/cpu/panel_product.hpp>
#include <planish/kernels/reference/kronecker_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Rows side by side: two where they fill more of their vectors than one does.
[[nodiscard]] constexpr index kronecker_rows_abreast(index n2) noexcept {
  return panel_columns(2 * n2) < 2 * panel_columns(n2) ? 2 : 1;
}

namespace detail {

/// q (depth × columns, row-major) as panels, each column `abreast` times.
inline void pack_panels(const float* q, index depth, index columns, index abreast, float* to) noexcept {
  const index all = abreast * columns, vectors = panel_columns(all) / float_lanes;
  for (index first = 0; first < vectors;) {
    const index count = panel_vectors_of(vectors - first), width = count * float_lanes;
    for (index k = 0; k < depth; ++k, to += width) {
      const float* const row = q + k * columns;
      const index begin = first * float_lanes, end = std::min(begin + width, all);
      if (abreast == 2)
        interleave(row + begin / 2, row + begin / 2, to, (end - begin) / 2);
      else
        std::copy(row + begin, row + end, to);
      std::fill(to + (end - begin), to + width, 0.0f);
    }
    first += count;
  }
}

/// Where the first whole cache line of scratch begins.
[[nodiscard]] inline float* on_a_line(std::span<float> scratch) noexcept {
  constexpr std::uintptr_t line = 64;
  const auto address = reinterpret_cast<std::uintptr_t>(scratch.data());
  return scratch.data() + (line - address % line) % line / sizeof(float);
}

/// One run over rows with both factors.
class KroneckerPanels {
 public:
  KroneckerPanels(index n1, index n2, const float* left, const float* right, index rows,
                  std::span<float> scratch) noexcept
      : n1_(n1), n2_(n2), abreast_(kronecker_rows_abreast(n2)), left_(left), right_(right) {
    const index width = panel_columns(abreast_ * n2);
    between_ = on_a_line(scratch);
    abreast_rows_ = between_ + n1 * width;
    float* const packed = abreast_rows_ + (abreast_ > 1 ? n1 * width : 0);
    right_stride_ = n2;
    constexpr index one_panel = most_panel_vectors * float_lanes, enough_rows = 4;
    if (right != nullptr && (abreast_ > 1 || n2 % float_lanes != 0 || (n2 > one_panel && rows >= enough_rows))) {
      pack_panels(right, n2, n2, abreast_, packed);
      right_ = packed;
      right_stride_ = 0;
    }
  }

  [[nodiscard]] index abreast() const noexcept { return abreast_; }
  /// Room for 2 n values where rows go abreast, free between calls.
  [[nodiscard]] float* between() const noexcept { return between_; }

  /// One row to y.
  PLANISH_LAZY void one(const float* x, float* y, const float* next) const noexcept {
    const index half = n1_ * n2_ / 2 / 16 * 16, rest = n1_ * n2_ - half;
    if (right_ != nullptr)
      panel_product({x, n2_, 1, right_, right_stride_, between_, 0, n1_, n2_, n2_, ahead(next, half)});
    else
      pack_panels(x, n1_, n2_, 1, between_);
    const float* const second = next == nullptr ? nullptr : next + half;
    panel_product({left_, 1, n1_, between_, 0, y, n2_, n1_, n1_, n2_, ahead(second, rest)});
  }

  /// Two rows, whose results lie element beside element in `both` (2 n), or, if that is null, in scratch until the next
  /// call. Returns where.
  PLANISH_LAZY const float* two(const float* x0, const float* x1, float* both, const float* next0,
                                const float* next1) const noexcept {
    if (both == nullptr) both = abreast_rows_;
    const index n = n1_ * n2_, columns = 2 * n2_;
    interleave(x0, x1, abreast_rows_, n);
    if (right_ != nullptr)
      panel_product<2>(
          {abreast_rows_, columns, 2, right_, right_stride_, between_, 0, n1_, n2_, columns, ahead(next0, n)});
    else
      pack_panels(abreast_rows_, n1_, columns, 1, between_);
    panel_product({left_, 1, n1_, between_, 0, both, columns, n1_, n1_, columns, ahead(next1, n)});
    return both;
  }

 private:
  /// `count` floats of a row that comes next, if there is one.
  [[nodiscard]] AheadLines ahead(const float* next, index count) const noexcept {
    constexpr index line = 16, short_row = 2048;
    return {next, next == nullptr ? 0 : divide_up(count, line), n1_ * n2_ <= short_row};
  }

  index n1_, n2_, abreast_;
  const float *left_, *right_;
  index right_stride_;  // 0: packed
  float *between_, *abreast_rows_;
};

}  // namespace detail

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
