#pragma once
// A tile of tokens through a warp: scores = K · Qᵀ, streaming softmax, O += Vᵀ · P. Codes are the large operand of both
// products and become halves in registers; lines (heads and rows) are the small one, eight at a time.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/attend_softmax.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// The four bytes of each lane in a line of codes.
PLANISH_DEVICE std::uint32_t line_word(const unsigned char* line) noexcept {
  return *reinterpret_cast<const std::uint32_t*>(line + thread_index() % warp_size * 4);
}

/// scores += Σ q e of the channels in field `Field` of one piece of a tile's keys.
template <class Size, int Width, int Field>
PLANISH_DEVICE void add_key_field(const std::uint32_t (&words)[Size::units][2], const unsigned char* queries,
                                  int part_bytes, int parts, AttendScores<Size>& scores) noexcept {
  std::uint32_t a[Size::units][4];
  PLANISH_UNROLL
  for (int u = 0; u < Size::units; ++u) {
    expand_codes<Width, Field>(words[u][0], a[u][0], a[u][2]);
    expand_codes<Width, Field>(words[u][1], a[u][1], a[u][3]);
  }
  const auto add = [&](const unsigned char* part) {
    PLANISH_UNROLL
    for (int n = 0; n < Size::line_tiles; ++n) {
      const auto q = *reinterpret_cast<const Vector8*>(part + n * 256 + thread_index() % warp_size * 8);
      PLANISH_UNROLL
      for (int u = 0; u < Size::units; ++u) multiply_floats(Half{}, scores[u][n], a[u], q.words[0], q.words[1]);
    }
  };
  add(queries);
  if (parts > 1) add(queries + part_bytes);
}

template <class Size, int Width>
PLANISH_DEVICE void add_key_piece(const unsigned char* keys, int pieces, int piece, const unsigned char* queries,
                                  int parts, AttendScores<Size>& scores) noexcept {
  constexpr int fields = 8 / Width, step_bytes = Size::line_tiles * 256;
  const int part_bytes = pieces * fields * step_bytes;
  std::uint32_t words[Size::units][2];
  PLANISH_UNROLL
  for (int u = 0; u < Size::units; ++u) PLANISH_UNROLL
  for (int half = 0; half < 2; ++half)
    words[u][half] = line_word(keys + ((2 * u + half) * pieces + piece) * cache_line_bytes);
  const unsigned char* q = queries + piece * fields * step_bytes;
  add_key_field<Size, Width, 0>(words, q, part_bytes, parts, scores);
  if constexpr (fields > 1) add_key_field<Size, Width, 1>(words, q + step_bytes, part_bytes, parts, scores);
  if constexpr (fields > 2) {
    add_key_field<Size, Width, 2>(words, q + 2 * step_bytes, part_bytes, parts, scores);
    add_key_field<Size, Width, 3>(words, q + 3 * step_bytes, part_bytes, parts, scores);
  }
}

/// scores += Σ q e over all channels of a tile's keys.
template <class Size, int Width>
PLANISH_DEVICE void add_scores(const unsigned char* keys, int key_pieces, const unsigned char* queries, int parts,
                               AttendScores<Size>& scores) noexcept {
  if constexpr (Size::whole) {
    constexpr int pieces = Size::channels * Width / 128;
    PLANISH_UNROLL
    for (int piece = 0; piece < pieces; ++piece)
      add_key_piece<Size, Width>(keys, pieces, piece, queries, parts, scores);
  } else {
    PLANISH_NO_UNROLL
    for (int piece = 0; piece < key_pieces; ++piece)
      add_key_piece<Size, Width>(keys, key_pieces, piece, queries, parts, scores);
  }
}

template <class Size, int Width, int Field>
PLANISH_DEVICE void add_value_field(std::uint32_t low, std::uint32_t high, const AttendWeights<Size>& w, int u,
                                    int parts, float (&out)[Size::line_tiles][4]) noexcept {
  std::uint32_t a[4];
  expand_codes<Width, Field>(low, a[0], a[2]);
  expand_codes<Width, Field>(high, a[1], a[3]);
  PLANISH_UNROLL
  for (int n = 0; n < Size::line_tiles; ++n) multiply_floats(Half{}, out[n], a, w[0][u][n][0], w[0][u][n][1]);
  if (parts == 1) return;
  PLANISH_UNROLL
  for (int n = 0; n < Size::line_tiles; ++n) multiply_floats(Half{}, out[n], a, w[1][u][n][0], w[1][u][n][1]);
}

/// out += Σ w e over a tile's values. Row r of product 8 / Width · c + field is the channel of field `field` in byte
/// 16 c + r.
template <class Size, int Width>
PLANISH_DEVICE void add_values(const unsigned char* values, int lines, const AttendWeights<Size>& w, int parts,
                               AttendState<Size>& state) noexcept {
  constexpr int fields = 8 / Width;
  PLANISH_UNROLL
  for (int u = 0; u < Size::units; ++u) PLANISH_UNROLL
  for (int c = 0; c < Size::channels / (16 * fields); ++c) {
    if (!Size::whole && 2 * c >= lines) continue;
    const unsigned char* line = values + (u * lines + 2 * c) * cache_line_bytes;
    const std::uint32_t low = line_word(line);
    const std::uint32_t high = Size::whole || 2 * c + 1 < lines ? line_word(line + cache_line_bytes) : 0;
    auto& out = state.out;
    add_value_field<Size, Width, 0>(low, high, w, u, parts, out[c * fields]);
    if constexpr (fields > 1) add_value_field<Size, Width, 1>(low, high, w, u, parts, out[c * fields + 1]);
    if constexpr (fields > 2) {
      add_value_field<Size, Width, 2>(low, high, w, u, parts, out[c * fields + 2]);
      add_value_field<Size, Width, 3>(low, high, w, u, parts, out[c * fields + 3]);
    }
  }
}

/// zero += Σ w z: zero points less the centre, the same in every row.
template <class Size>
PLANISH_DEVICE void add_value_zeros(const unsigned char* zeros, int value_width, const AttendWeights<Size>& w,
                                    int parts, AttendState<Size>& state) noexcept {
  PLANISH_UNROLL
  for (int u = 0; u < Size::units; ++u) {
    const auto word = *reinterpret_cast<const std::uint32_t*>(zeros + u * 16 + thread_index() % 4 * 4);
    std::uint32_t a[4];
    expand_codes<8, 0>(word, a[0], a[2], 1 << (value_width - 1));
    a[1] = a[0];
    a[3] = a[2];
    PLANISH_UNROLL
    for (int n = 0; n < Size::line_tiles; ++n) {
      multiply_floats(Half{}, state.zero[n], a, w[0][u][n][0], w[0][u][n][1]);
      if (parts > 1) multiply_floats(Half{}, state.zero[n], a, w[1][u][n][0], w[1][u][n][1]);
    }
  }
}

/// One tile in shared memory, keys, values and the side data of its page behind one another.
template <class Size>
PLANISH_DEVICE void attend_tile(const CacheLayout& l, const unsigned char* tile, int index, int first, int length,
                                const unsigned char* queries, int most_parts, const AttendLines<Size>& lines,
                                AttendState<Size>& state) noexcept {
  constexpr int share = 4 / Size::units;  // tiles of a page
  const int parts = Size::whole ? 1 : most_parts;
  const unsigned char* values = tile + l.key_bytes() / share;
  const unsigned char* side = values + l.value_bytes() / share;
  AttendScores<Size> scores = {};
  AttendWeights<Size> weights;
  const auto weigh = [&](int key_width, int value_width) {
    TileSide<Size> of_tokens(side, index, key_width);
    if (first + Size::tile > lines.fewest)
      weigh_scores<Size, true>(scores, of_tokens, lines, first, length, parts, state, weights);
    else
      weigh_scores<Size, false>(scores, of_tokens, lines, first, length, parts, state, weights);
    add_value_zeros<Size>(side + 576 + index * Size::tile, value_width, weights, parts, state);
  };
  if constexpr (Size::whole) {
    constexpr int width = Size::width;
    add_scores<Size, width>(tile, 0, queries, 1, scores);
    weigh(width, width);
    add_values<Size, width>(values, Size::channels * width / 64, weights, 1, state);
    return;
  }
  if (l.key_width == 4)
    add_scores<Size, 4>(tile, l.key_pieces, queries, parts, scores);
  else if (l.key_width == 8)
    add_scores<Size, 8>(tile, l.key_pieces, queries, parts, scores);
  else
    add_scores<Size, 2>(tile, l.key_pieces, queries, parts, scores);
  weigh(l.key_width, l.value_width);
  if (l.value_width == 4)
    add_values<Size, 4>(values, l.value_lines, weights, parts, state);
  else if (l.value_width == 8)
    add_values<Size, 8>(values, l.value_lines, weights, parts, state);
  else
    add_values<Size, 2>(values, l.value_lines, weights, parts, state);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
