#pragma once
// Products of bfloat16 terms as floats, in the order of reference::bfloat16_sum, for machines without matrix tiles:
// each term is a float, and so is each product.
#include <algorithm>
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/bfloat16_term.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/isa/partial.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/small_product.hpp>
#include <planish/kernels/cpu/unroll.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

namespace detail {

/// bfloat16_term of every lane.
PLANISH_LAZY [[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch bfloat16_terms(FloatBatch x) noexcept {
  using Words = xsimd::batch<std::uint32_t>;
  const Words word = bits_as<Words>(x);
  const Words rounded = (word + Words(0x7fffu) + ((word >> 16) & Words(1u))) & Words(0xffff0000u);
  // Choices between floats: those between words of 512 bits do not compile with xsimd 8.1 and g++ -O0.
  const FloatBatch kept =
      xsimd::select(xsimd::isnan(x), bits_as<FloatBatch>(word | Words(0x400000u)), bits_as<FloatBatch>(rounded));
  return xsimd::select(xsimd::abs(kept) < FloatBatch(least_bfloat16_term), FloatBatch(0.0f), kept);
}

/// The terms of `count` floats.
PLANISH_LAZY inline void store_bfloat16_terms(const float* from, index count, float* to) noexcept {
  for (; count >= float_lanes; count -= float_lanes, from += float_lanes, to += float_lanes)
    bfloat16_terms(FloatBatch::load_unaligned(from)).store_unaligned(to);
  if (count > 0) store_partial(bfloat16_terms(load_partial(from, count)), to, count);
}

}  // namespace detail

namespace detail {

template <int Rows, int Vectors>
[[gnu::noinline]] void paired_tile(const SmallProduct& m, index row, index column) noexcept {
  const float *p = m.p + row * m.p_row_stride, *q = m.q + column;
  FloatBatch sum[Rows][Vectors];
  unroll<Rows>([&](auto i) { unroll<Vectors>([&](auto v) { sum[i][v] = FloatBatch(0.0f); }); });
  for (index left = m.depth; left > 0; left -= bfloat16_block_terms) {
    FloatBatch even[Rows][Vectors], odd[Rows][Vectors];
    unroll<Rows>([&](auto i) { unroll<Vectors>([&](auto v) { even[i][v] = odd[i][v] = FloatBatch(0.0f); }); });
    const auto add = [&](FloatBatch(&partial)[Rows][Vectors]) __attribute__((always_inline)) {
      FloatBatch b[Vectors];
      unroll<Vectors>([&](auto v) { b[v] = FloatBatch::load_unaligned(q + v * float_lanes); });
      unroll<Rows>([&](auto i) {
        const FloatBatch a(p[i * m.p_row_stride]);
        unroll<Vectors>([&](auto v) { partial[i][v] = multiply_add(a, b[v], partial[i][v]); });
      });
      p += m.p_column_stride;
      q += m.q_row_stride;
    };
    const index terms = std::min<index>(left, bfloat16_block_terms);
    for (index k = 0; k + 2 <= terms; k += 2) {
      add(even);
      add(odd);
    }
    if (terms % 2 != 0) add(even);
    unroll<Rows>([&](auto i) { unroll<Vectors>([&](auto v) { sum[i][v] = sum[i][v] + (even[i][v] + odd[i][v]); }); });
  }
  unroll<Rows>([&](auto i) {
    unroll<Vectors>([&](auto v) {
      const index at = column + v * float_lanes;
      float* const to = m.c + (row + i) * m.c_row_stride + at;
      if (at + float_lanes <= m.columns)
        sum[i][v].store_unaligned(to);
      else
        store_partial(sum[i][v], to, m.columns - at);
    });
  });
}

template <int Vectors>
void paired_rows(const SmallProduct& m, index column) noexcept {
#if defined(__AVX512F__) || defined(__aarch64__)
  constexpr int most = Vectors == 2 ? 4 : 6;
#else
  constexpr int most = Vectors == 2 ? 2 : 4;
#endif
  index row = 0;
  for (; row + most <= m.rows; row += most) paired_tile<most, Vectors>(m, row, column);
  for (; row < m.rows; ++row) paired_tile<1, Vectors>(m, row, column);
}

}  // namespace detail

/// C = P · Q of terms. Rows of Q are whole vectors, zeros behind the last column; rows of C end with the last column,
/// or are whole vectors too.
PLANISH_LAZY inline void paired_product(const SmallProduct& m) noexcept {
  index column = 0;
  for (; column + float_lanes < m.columns; column += 2 * float_lanes) detail::paired_rows<2>(m, column);
  if (column < m.columns) detail::paired_rows<1>(m, column);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
