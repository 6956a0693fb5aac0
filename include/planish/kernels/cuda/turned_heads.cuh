#pragma once
// Rotary position embedding (arXiv 2104.09864) of a head's channels where they are read.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/cuda/early_start.cuh>
#include <planish/kernels/cuda/warp.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Cosines and sines of every position for the pairs of channels that turn, channels i and i + pairs of a head, or 2i
/// and 2i + 1 if `interleaved`; those behind the first 2 · pairs stay. `pairs`: a multiple of 8, of 4 if interleaved;
/// 0: nothing turns. Both tables lie on multiples of 16 bytes.
struct RotaryTable {
  const float* cosines = nullptr;  // positions × pairs
  const float* sines = nullptr;
  int pairs = 0;
  bool interleaved = false;
};

/// A pair (a, b) turned: a · c − b · s and a · s + b · c, the second product rounded by itself, the first fused.
[[nodiscard]] PLANISH_HOST_DEVICE inline float turned_first(float a, float b, float c, float s) noexcept {
  return fused_multiply_add(a, c, -(b * s));
}
[[nodiscard]] PLANISH_HOST_DEVICE inline float turned_second(float a, float b, float c, float s) noexcept {
  return fused_multiply_add(a, s, b * c);
}

/// Channels 8 · chunk to 8 · chunk + 7 of a head, turned to a position and rounded.
template <class E>
[[nodiscard]] PLANISH_DEVICE Vector16 turned_chunk(const E* head, int chunk, const RotaryTable& table,
                                                   int position) noexcept {
  const auto* chunks = reinterpret_cast<const Vector16*>(head);
  Vector16 v = chunks[chunk];
  const int channel = 8 * chunk;
  if (channel >= 2 * table.pairs) return v;
  const auto value = [](const Vector16& of, int i) {
    return widen(E{static_cast<std::uint16_t>(of.words[i / 2] >> (i % 2 * 16))});
  };
  const auto four = [&](const float* row, int i) { return *reinterpret_cast<const Vector16*>(row + i); };
  const auto number = [](const Vector16& of, int i) { return __builtin_bit_cast(float, of.words[i]); };
  const float* const cosines = table.cosines + std::int64_t{position} * table.pairs;
  const float* const sines = table.sines + std::int64_t{position} * table.pairs;
  if (table.interleaved) {
    const Vector16 c = four(cosines, channel / 2), s = four(sines, channel / 2);
    PLANISH_UNROLL
    for (int i = 0; i < 4; ++i) {
      const float x = value(v, 2 * i), y = value(v, 2 * i + 1), ci = number(c, i), si = number(s, i);
      v.words[i] = round_pair(E{}, turned_first(x, y, ci, si), turned_second(x, y, ci, si));
    }
    return v;
  }
  const bool is_first = channel < table.pairs;
  const int pair = is_first ? channel : channel - table.pairs;
  const Vector16 other = chunks[(is_first ? channel + table.pairs : pair) / 8];
  PLANISH_UNROLL
  for (int half = 0; half < 2; ++half) {
    const Vector16 c = four(cosines, pair + 4 * half), s = four(sines, pair + 4 * half);
    float turned[4];
    PLANISH_UNROLL
    for (int i = 0; i < 4; ++i) {
      const float own = value(v, 4 * half + i), far = value(other, 4 * half + i);
      turned[i] = is_first ? turned_first(own, far, number(c, i), number(s, i))
                           : turned_second(far, own, number(c, i), number(s, i));
    }
    v.words[2 * half] = round_pair(E{}, turned[0], turned[1]);
    v.words[2 * half + 1] = round_pair(E{}, turned[2], turned[3]);
  }
  return v;
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
