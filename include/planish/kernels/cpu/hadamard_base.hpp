#pragma once
// One base matrix of a Hadamard plan along the middle index of outer × order × stride.
#include <array>
#include <cstdint>
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/butterflies.hpp>
#include <planish/kernels/cpu/isa/runs.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/kernels/hadamard_plan_view.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {
namespace detail {

/// Paley's matrix of order 12 as its signs lie in a HadamardBaseView; its additions are laid out at compile time.
[[nodiscard]] constexpr std::array<std::uint8_t, 36> order_12_signs() noexcept {
  std::array<std::uint8_t, 36> signs{};
  for (int k = 1; k < 12; ++k)
    for (int j = 0; j < 12; ++j) {
      bool is_square = k == j;  // the diagonal is +1 as well
      for (int root = 1; j > 0 && root < 11; ++root) is_square |= root * root % 11 == (k - j + 11) % 11;
      if (!is_square) signs[static_cast<std::size_t>(3 * j + k / 4)] |= static_cast<std::uint8_t>(1 << (k % 4));
    }
  return signs;
}

inline constexpr std::array<std::uint8_t, 36> signs_of_12 = order_12_signs();

[[nodiscard]] inline bool is_order_12(const HadamardBaseView& base) noexcept {
  return base.order == 12 && std::memcmp(base.signs, signs_of_12.data(), signs_of_12.size()) == 0;
}

/// Order 12 in registers: the eight sums ± a ± b ± c ± d of each four inputs (up to sign), then two additions for each
/// output. 60 additions instead of 132. The first input is never negated, so no sum is needed with the other sign.
struct Order12 {
  template <class Load, class Store>
  PLANISH_ALWAYS_INLINE void operator()(const Load& load, const Store& store) const noexcept {
    FloatBatch sums[3][8];
    signed_sums(load(0), load(1), load(2), load(3), sums[0]);
    signed_sums(load(4), load(5), load(6), load(7), sums[1]);
    signed_sums(load(8), load(9), load(10), load(11), sums[2]);
    unroll<12>([&](auto j) {
      constexpr int four_0 = signs_of_12[3 * j], four_1 = signs_of_12[3 * j + 1], four_2 = signs_of_12[3 * j + 2];
      FloatBatch y = sums[0][position(four_0)];
      y = (four_1 & 1) == 0 ? y + sums[1][position(four_1)] : y - sums[1][position(four_1)];
      y = (four_2 & 1) == 0 ? y + sums[2][position(four_2)] : y - sums[2][position(four_2)];
      store(y, j);
    });
  }

  /// sums[4 i + 2 s + k] = (a ± b) ± (c ± d): minus b where i is set, minus d where k is, minus the second pair where s
  /// is.
  PLANISH_ALWAYS_INLINE static void signed_sums(FloatBatch a, FloatBatch b, FloatBatch c, FloatBatch d,
                                                FloatBatch (&sums)[8]) noexcept {
    const FloatBatch first[2] = {a + b, a - b}, second[2] = {c + d, c - d};
    for (int i = 0; i < 2; ++i)
      for (int k = 0; k < 2; ++k) {
        sums[4 * i + k] = first[i] + second[k];
        sums[4 * i + 2 + k] = first[i] - second[k];
      }
  }

  /// Where the sum with these signs lies, negated so that its first sign is +.
  [[nodiscard]] static constexpr int position(int four) noexcept {
    if ((four & 1) != 0) four ^= 15;
    const int i = four >> 1 & 1, c = four >> 2 & 1, d = four >> 3 & 1;
    return 4 * i + 2 * c + (c ^ d);
  }
};

/// Any order: all sixteen signed sums of each four inputs go to a table in scratch (order · 4 vectors); every output
/// adds up one entry of each.
struct AnyOrder {
  HadamardBaseView base;
  float* table;

  template <class Load, class Store>
  PLANISH_ALWAYS_INLINE void operator()(const Load& load, const Store& store) const noexcept {
    const index fours = base.order / 4;
    for (index g = 0; g < fours; ++g) {
      const FloatBatch a = load(4 * g), b = load(4 * g + 1), c = load(4 * g + 2), d = load(4 * g + 3);
      const FloatBatch first[4] = {a + b, b - a, a - b, -(a + b)}, second[4] = {c + d, d - c, c - d, -(c + d)};
      float* entry = table + g * 16 * float_lanes;
      unroll<16>([&](auto n) { (first[n % 4] + second[n / 4]).store_unaligned(entry + n * float_lanes); });
    }
    const std::uint8_t* signs = base.signs;
    for (index j = 0; j < base.order; ++j, signs += fours) {
      FloatBatch y = FloatBatch::load_unaligned(table + signs[0] * float_lanes);
      for (index g = 1; g < fours; ++g) y = y + FloatBatch::load_unaligned(table + (16 * g + signs[g]) * float_lanes);
      store(y, j);
    }
  }
};

}  // namespace detail

/// `order` inputs `stride` apart to `order` outputs, one vector of neighbouring columns at a time. A stride below
/// float_lanes is served by whole vectors too: what they write beyond a run is overwritten by the next one, and beyond
/// the last by nobody, so `to` has slack behind it.
template <class Columns, class Store>
void hadamard_base(const float* from, index size, index order, index stride, float* to, const Columns& columns,
                   const Store& store) noexcept {
  for (index outer = 0; outer < size; outer += order * stride)
    for (index s = 0; s < stride; s += float_lanes) {
      const index at = outer + (stride >= float_lanes && s + float_lanes > stride ? stride - float_lanes : s);
      columns([&](index k) { return FloatBatch::load_unaligned(from + at + k * stride); },
              [&](FloatBatch value, index j) { store(value, to + at + j * stride); });
    }
}

/// The same for a stride of 4 where vectors are wider: several outer blocks side by side, a run of four from each.
template <class Columns>
void hadamard_base_of_runs(const float* from, index size, index order, float* to, const Columns& columns) noexcept {
  constexpr index runs = float_lanes / 4;
  const index block = 4 * order;
  index outer = 0;
  for (; outer + runs * block <= size; outer += runs * block)
    columns([&](index k) { return load_runs(from + outer + 4 * k, block); },
            [&](FloatBatch value, index j) { store_runs(value, to + outer + 4 * j, block); });
  hadamard_base(from + outer, size - outer, order, 4, to + outer, columns, PlainStore{});
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
