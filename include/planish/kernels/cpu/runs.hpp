#pragma once
// Vectors put together from runs of four floats that lie apart, and taken apart again.
#include <cstring>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

namespace detail {

using FourFloats [[gnu::vector_size(16)]] = float;

[[nodiscard]] PLANISH_ALWAYS_INLINE FourFloats load_run(const float* from) noexcept {
  FourFloats run;
  std::memcpy(&run, from, sizeof run);
  return run;
}

template <int First, class Register>
PLANISH_ALWAYS_INLINE void store_run(Register lanes, float* to) noexcept {
  const FourFloats run = __builtin_shufflevector(lanes, lanes, First, First + 1, First + 2, First + 3);
  std::memcpy(to, &run, sizeof run);
}

}  // namespace detail

/// Runs at from, from + distance, …: as many as fill a vector.
template <class Batch = FloatBatch>
[[nodiscard]] PLANISH_ALWAYS_INLINE Batch load_runs(const float* from, index distance) noexcept {
  using Register = typename Batch::register_type;
  if constexpr (Batch::size == 4) {
    return Batch::load_unaligned(from);
  } else {
    const auto low =
        __builtin_shufflevector(detail::load_run(from), detail::load_run(from + distance), 0, 1, 2, 3, 4, 5, 6, 7);
    if constexpr (Batch::size == 8) {
      return Batch(static_cast<Register>(low));
    } else {
      const auto high = __builtin_shufflevector(detail::load_run(from + 2 * distance),
                                                detail::load_run(from + 3 * distance), 0, 1, 2, 3, 4, 5, 6, 7);
      return Batch(static_cast<Register>(
          __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
    }
  }
}

/// The inverse of load_runs.
PLANISH_ALWAYS_INLINE void store_runs(FloatBatch value, float* to, index distance) noexcept {
  const FloatBatch::register_type lanes = value;
  unroll<static_cast<int>(float_lanes / 4)>([&](auto i) { detail::store_run<4 * i>(lanes, to + i * distance); });
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
