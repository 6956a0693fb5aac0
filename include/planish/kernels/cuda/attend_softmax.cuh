#pragma once
// Streaming softmax in a warp: scores of a tile of tokens to weights of its values, over what was summed so far.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/cuda/attend_arguments.cuh>
#include <planish/kernels/cuda/half_pairs.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// What a lane knows of lines 2 (lane % 4) and 2 (lane % 4) + 1 of every eight.
template <class Size>
struct AttendLines {
  float factor[Size::line_tiles][2];  // of a sum of rounded queries: to exponents of two
  float sum[Size::line_tiles][2];     // of the rounded query
  int visible[Size::line_tiles][2];   // tokens
  int fewest;                         // tokens that every line sees
};

/// The running result of a warp; lanes hold parts of `total`, those of a line share the others.
template <class Size>
struct AttendState {
  float out[Size::channels / 16][Size::line_tiles][4] = {};  // Σ w e: channels are rows
  float zero[Size::line_tiles][4] = {};                      // Σ w z, in every row
  float highest[Size::line_tiles][2];
  float total[Size::line_tiles][2] = {};
  float unit =
      0x1p-126f;  // w = p · scale / unit, a power of two: below half_reach, and above half of it for the largest
};

template <class Size>
using AttendScores = float[Size::units][Size::line_tiles][4];

/// The weights of a tile as the small operand: [part][group of 16 tokens][eight lines][register].
template <class Size>
using AttendWeights = std::uint32_t[2][Size::units][Size::line_tiles][2];

/// The greatest of the lanes that share a value's columns: those with the same lane % 4.
PLANISH_DEVICE float greatest_of_rows(float value) noexcept {
  PLANISH_UNROLL
  for (int mask = 4; mask < warp_size; mask *= 2) value = greatest(value, shuffle_xor(value, mask));
  return value;
}

/// A byte of a word as a float less `base`; `base` holds 2^23 as well.
template <int Byte>
PLANISH_DEVICE float byte_value(std::uint32_t word, float base) noexcept {
  return __builtin_bit_cast(float, (word >> (8 * Byte) & 255u) | 0x4b000000u) - base;
}

/// Scales and zero points of this lane's tokens lane / 4 + 8 i of a tile: `index` counts tiles in their page.
template <class Size>
struct TileSide {
  float key_scales[2 * Size::units], value_scales[2 * Size::units], key_zeros[2 * Size::units];

  PLANISH_DEVICE TileSide(const unsigned char* side, int index, int key_width) noexcept {
    const int at = thread_index() % warp_size / 4 * 8 + index * 2 * Size::units;
    const float base = 0x1p23f + static_cast<float>(1 << (key_width - 1));
    PLANISH_UNROLL
    for (int i = 0; i < Size::units / 2; ++i) {
      const auto k = reinterpret_cast<const Vector16*>(side + at * 4)[i];
      const auto v = reinterpret_cast<const Vector16*>(side + 256 + at * 4)[i];
      const auto zeros = reinterpret_cast<const std::uint32_t*>(side + 512 + at)[i];
      PLANISH_UNROLL
      for (int j = 0; j < 4; ++j) {
        key_scales[4 * i + j] = __builtin_bit_cast(float, k.words[j]);
        value_scales[4 * i + j] = __builtin_bit_cast(float, v.words[j]);
      }
      key_zeros[4 * i] = byte_value<0>(zeros, base);
      key_zeros[4 * i + 1] = byte_value<1>(zeros, base);
      key_zeros[4 * i + 2] = byte_value<2>(zeros, base);
      key_zeros[4 * i + 3] = byte_value<3>(zeros, base);
    }
  }
};

/// Everything that a power of two times `unit_ratio` or a new maximum changes in what was summed so far.
template <class Size>
PLANISH_DEVICE void decay_state(AttendState<Size>& state, const float (&decay)[Size::line_tiles][2],
                                float unit_ratio) noexcept {
  bool changes = false;
  PLANISH_UNROLL
  for (int n = 0; n < Size::line_tiles; ++n) PLANISH_UNROLL
  for (int e = 0; e < 2; ++e) {
    state.total[n][e] *= decay[n][e];
    changes = changes || decay[n][e] * unit_ratio != 1.0f;
  }
  if (!any_lane(changes)) return;
  PLANISH_UNROLL
  for (int n = 0; n < Size::line_tiles; ++n) PLANISH_UNROLL
  for (int r = 0; r < 4; ++r) {
    const float by = decay[n][r % 2] * unit_ratio;
    state.zero[n][r] *= by;
    PLANISH_UNROLL
    for (int m = 0; m < Size::channels / 16; ++m) state.out[m][n][r] *= by;
  }
}

/// Scores of a tile, already Σ q e, to weights; maximum, sum and all that was summed so far follow. `first`: position
/// of the tile's first token; `length`: of the sequence.
template <class Size, bool Masked>
PLANISH_DEVICE void weigh_scores(AttendScores<Size>& scores, TileSide<Size>& side, const AttendLines<Size>& lines,
                                 int first, int length, int parts, AttendState<Size>& state,
                                 AttendWeights<Size>& weights) noexcept {
  constexpr float least_number = -__builtin_inff();
  const int row = first + thread_index() % warp_size / 4;  // position of this lane's first token
  float highest[Size::line_tiles][2], decay[Size::line_tiles][2];
  PLANISH_UNROLL
  for (int n = 0; n < Size::line_tiles; ++n) PLANISH_UNROLL
  for (int e = 0; e < 2; ++e) {
    highest[n][e] = state.highest[n][e];
    PLANISH_UNROLL
    for (int i = 0; i < 2 * Size::units; ++i) {
      float& score = scores[i / 2][n][i % 2 * 2 + e];
      score = fused_multiply_add(-side.key_zeros[i], lines.sum[n][e], score) * side.key_scales[i] * lines.factor[n][e];
      if (Masked && row + 8 * i >= lines.visible[n][e]) score = least_number;
      highest[n][e] = greatest(highest[n][e], score);
    }
  }
  float greatest_scale = state.unit * (half_reach / 2.0f);
  PLANISH_UNROLL
  for (int i = 0; i < 2 * Size::units; ++i) {
    if (Masked && row + 8 * i >= length) side.value_scales[i] = 0.0f;
    greatest_scale = greatest(greatest_scale, side.value_scales[i]);
  }
  greatest_scale = greatest_of_rows(greatest_scale);
  const HalfUnit unit(greatest_scale);
  const float unit_ratio = state.unit * unit.inverse;
  state.unit = unit.unit;

  float reference[Size::line_tiles][2];
  PLANISH_UNROLL
  for (int n = 0; n < Size::line_tiles; ++n) PLANISH_UNROLL
  for (int e = 0; e < 2; ++e) {
    highest[n][e] = greatest_of_rows(highest[n][e]);
    reference[n][e] = highest[n][e] == least_number ? 0.0f : highest[n][e];
    decay[n][e] = quick_power_of_two(state.highest[n][e] - reference[n][e]);
    state.highest[n][e] = highest[n][e];
  }
  decay_state(state, decay, unit_ratio);
  PLANISH_UNROLL
  for (int i = 0; i < 2 * Size::units; ++i) {
    const float scale = side.value_scales[i] * unit.inverse;
    PLANISH_UNROLL
    for (int n = 0; n < Size::line_tiles; ++n) {
      float w[2];
      PLANISH_UNROLL
      for (int e = 0; e < 2; ++e) {
        const float p = quick_power_of_two(scores[i / 2][n][i % 2 * 2 + e] - reference[n][e]);
        state.total[n][e] += p;
        w[e] = Masked && row + 8 * i >= lines.visible[n][e] ? 0.0f : p * scale;
      }
      const std::uint32_t pair = round_pair(Half{}, w[0], w[1]);
      weights[0][i / 2][n][i % 2] = transpose_matrix(pair);
      if (parts == 1) continue;
      const float low = w[0] - widen(Half{static_cast<std::uint16_t>(pair)});
      const float high = w[1] - widen(Half{static_cast<std::uint16_t>(pair >> 16)});
      weights[1][i / 2][n][i % 2] = transpose_matrix(round_pair(Half{}, low, high));
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
