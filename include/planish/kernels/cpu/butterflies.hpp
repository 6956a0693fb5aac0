#pragma once
// Walsh–Hadamard butterflies: a + b and a − b over strides 1, 2, 4, ….
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Leaves vectors as they are on their way to memory.
struct PlainStore {
  PLANISH_ALWAYS_INLINE void operator()(FloatBatch value, float* to) const noexcept { value.store_unaligned(to); }
};

/// The last step of a transform: value · scale + 0.
struct ScaledStore {
  FloatBatch scale;
  PLANISH_ALWAYS_INLINE void operator()(FloatBatch value, float* to) const noexcept {
    multiply_add(value, scale, FloatBatch(0.0f)).store_unaligned(to);
  }
};

namespace detail {

/// Lane i of the result is lane i ^ Stride of the vector.
template <int Stride, int... I>
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch swapped_lanes(FloatBatch v, std::integer_sequence<int, I...>) noexcept {
  const FloatBatch::register_type lanes = v;
  return FloatBatch(__builtin_shufflevector(lanes, lanes, (I ^ Stride)...));
}

/// +1 where bit Stride of the lane is clear, −1 where it is set.
template <int Stride, int... I>
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch lane_signs(std::integer_sequence<int, I...>) noexcept {
  alignas(64) static constexpr float signs[] = {((I & Stride) != 0 ? -1.0f : 1.0f)...};
  return FloatBatch::load_aligned(signs);
}

/// One stage within a vector.
template <int Stride>
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch butterfly_in_vector(FloatBatch v) noexcept {
  constexpr auto lanes = std::make_integer_sequence<int, static_cast<int>(float_lanes)>{};
  return multiply_add(v, lane_signs<Stride>(lanes), swapped_lanes<Stride>(v, lanes));
}

}  // namespace detail

/// The stages of strides 1 to 2^Stages / 2, all within the vector.
template <int Stages>
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch butterflies_in_vector(FloatBatch v) noexcept {
  if constexpr (Stages > 0) v = detail::butterfly_in_vector<1>(v);
  if constexpr (Stages > 1) v = detail::butterfly_in_vector<2>(v);
  if constexpr (Stages > 2) v = detail::butterfly_in_vector<4>(v);
  if constexpr (Stages > 3) v = detail::butterfly_in_vector<8>(v);
  return v;
}

/// Stages within a vector: log2 of its lanes.
inline constexpr int stages_in_vector = float_lanes == 16 ? 4 : (float_lanes == 8 ? 3 : 2);

/// Stages that one pass over memory can hold in registers.
inline constexpr int most_stages_per_pass = float_lanes == 16 ? 4 : 3;

namespace detail {

/// `Stages` stages between 2^Stages vectors.
template <int Stages>
PLANISH_ALWAYS_INLINE void mix(FloatBatch (&v)[1 << Stages]) noexcept {
  unroll<Stages>([&](auto stage) __attribute__((always_inline)) {
    unroll<1 << Stages>([&](auto i) __attribute__((always_inline)) {
      constexpr int half = 1 << stage;
      if constexpr ((i & half) == 0) {
        const FloatBatch a = v[i], b = v[i + half];
        v[i] = a + b;
        v[i + half] = a - b;
      }
    });
  });
}

}  // namespace detail

/// `Stages` stages of strides stride, 2 stride, … over `size` elements, from one array to another or in place. The
/// stride is a multiple of float_lanes, the size of stride · 2^Stages.
template <int Stages, class Store>
void butterflies(const float* from, index size, index stride, float* to, const Store& store) noexcept {
  constexpr int count = 1 << Stages;
  for (index start = 0; start < size; start += stride * count)
    for (index s = start; s < start + stride; s += float_lanes) {
      FloatBatch v[count];
      unroll<count>([&](auto i) { v[i] = FloatBatch::load_unaligned(from + s + i * stride); });
      detail::mix<Stages>(v);
      unroll<count>([&](auto i) { store(v[i], to + s + i * stride); });
    }
}

/// The first InVector + Stages stages of a row of whole runs of 2^(InVector + Stages), after its signs, in one pass.
/// Meanwhile memory brings as many floats at `ahead`, if that is not null.
template <int InVector, int Stages, bool Signed>
void first_butterflies(const float* from, const float* signs, index size, float* to, const float* ahead) noexcept {
  constexpr int count = 1 << Stages;
  constexpr index line = 16;
  for (index c = 0; c < size; c += count * float_lanes) {
    for (index i = 0; ahead != nullptr && i < count * float_lanes; i += line) __builtin_prefetch(ahead + c + i, 0, 2);
    FloatBatch v[count];
    unroll<count>([&](auto i) __attribute__((always_inline)) {
      const index at = c + i * float_lanes;
      v[i] = FloatBatch::load_unaligned(from + at);
      if constexpr (Signed) v[i] = v[i] * FloatBatch::load_unaligned(signs + at);
      v[i] = butterflies_in_vector<InVector>(v[i]);
    });
    detail::mix<Stages>(v);
    unroll<count>([&](auto i) __attribute__((always_inline)) { v[i].store_unaligned(to + c + i * float_lanes); });
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
