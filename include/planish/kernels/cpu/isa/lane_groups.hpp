#pragma once
// Few neighbouring floats repeated over a whole vector, and rows whose elements are laid one beside the other.
#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/simd.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// `Count` (1 or 2) floats, over and over: one load that repeats what it reads.
template <int Count>
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch repeated_lanes(const float* from) noexcept {
  static_assert(Count == 1 || Count == 2, "planish: write repeated_lanes for so many floats");
  if constexpr (Count == 1) {
    return FloatBatch(*from);
  } else {
    using Pairs [[gnu::vector_size(sizeof(FloatBatch::register_type))]] = std::int64_t;
    std::int64_t pair;
    std::memcpy(&pair, from, sizeof(pair));
    return FloatBatch(std::bit_cast<FloatBatch::register_type>(Pairs{} + pair));
  }
}

namespace detail {

/// Lane i is lane First + Step · (i / Each) + Apart · (i % Each) of both vectors behind one another.
template <int First, int Step, int Each, int Apart, int... I>
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch chosen_lanes(FloatBatch a, FloatBatch b,
                                                            std::integer_sequence<int, I...>) noexcept {
  using Register = FloatBatch::register_type;
  using Floats [[gnu::vector_size(sizeof(Register))]] = float;
  const Floats x = std::bit_cast<Floats>(static_cast<Register>(a)), y = std::bit_cast<Floats>(static_cast<Register>(b));
  return FloatBatch(
      std::bit_cast<Register>(__builtin_shufflevector(x, y, (First + Step * (I / Each) + Apart * (I % Each))...)));
}

inline constexpr int lane_count = static_cast<int>(float_lanes);
using AllLanes = std::make_integer_sequence<int, lane_count>;

}  // namespace detail

/// to[2 i] = a[i], to[2 i + 1] = b[i], for i below `count`.
PLANISH_ALWAYS_INLINE void interleave(const float* a, const float* b, float* to, index count) noexcept {
  constexpr int lanes = detail::lane_count;
  index i = 0;
  for (; i + float_lanes <= count; i += float_lanes) {
    const FloatBatch x = FloatBatch::load_unaligned(a + i), y = FloatBatch::load_unaligned(b + i);
    detail::chosen_lanes<0, 1, 2, lanes>(x, y, detail::AllLanes{}).store_unaligned(to + 2 * i);
    detail::chosen_lanes<lanes / 2, 1, 2, lanes>(x, y, detail::AllLanes{}).store_unaligned(to + 2 * i + float_lanes);
  }
  for (; i < count; ++i) {
    to[2 * i] = a[i];
    to[2 * i + 1] = b[i];
  }
}

/// The inverse of interleave.
PLANISH_ALWAYS_INLINE void separate(const float* from, float* a, float* b, index count) noexcept {
  index i = 0;
  for (; i + float_lanes <= count; i += float_lanes) {
    const FloatBatch x = FloatBatch::load_unaligned(from + 2 * i),
                     y = FloatBatch::load_unaligned(from + 2 * i + float_lanes);
    detail::chosen_lanes<0, 2, 1, 0>(x, y, detail::AllLanes{}).store_unaligned(a + i);
    detail::chosen_lanes<1, 2, 1, 0>(x, y, detail::AllLanes{}).store_unaligned(b + i);
  }
  for (; i < count; ++i) {
    a[i] = from[2 * i];
    b[i] = from[2 * i + 1];
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
