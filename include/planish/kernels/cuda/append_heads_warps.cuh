#pragma once
// append_heads for prompts: a warp has 16 tokens of one head in registers from its row to rows and codes, so that warps
// never wait for each other; the transforms lie in shared memory for the life of a block.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/append_heads.cuh>
#include <planish/kernels/cuda/early_start.cuh>
#include <planish/kernels/cuda/row_range.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

inline constexpr int heads_of_warps_threads = 256, heads_of_warps = heads_of_warps_threads / warp_size;

/// Heads of exactly so many channels. A lane has rows lane / 4 and lane / 4 + 8, and of each `chunks` times 8 channels.
template <class E, int Channels>
struct HeadOfWarp {
  using Type = E;
  static constexpr int channels = Channels, chunks = Channels / 32, steps = Channels / 16, pairs = Channels / 16;
  static constexpr int factor_bytes = Channels * Channels * 2;
  static constexpr int codes_pitch = Channels + 8;  // eight codes of any width are stored at once
  static constexpr int codes_bytes = heads_rows * codes_pitch;
  static constexpr int shared_bytes = 2 * factor_bytes + heads_of_warps * codes_bytes;

  Vector16 rows[2][chunks];     // as they are read: chunk j has channels 8 (4 j + lane % 4) on
  float sums[Channels / 8][4];  // as products leave them, and without a transform in the same places

  /// First channel of the 8 in sums of chunk m.
  [[nodiscard]] PLANISH_DEVICE static int first_channel(int m, bool transformed) noexcept {
    const int quarter = thread_index() % 4;
    return transformed ? m / 2 * 64 + quarter * 16 + m % 2 * 8 : 32 * m + 8 * quarter;
  }
  /// Element i of chunk m of row lane / 4 + 8 half.
  [[nodiscard]] PLANISH_DEVICE float& value(int half, int m, int i) noexcept {
    return sums[m / 2 * 8 + m % 2 * 4 + i / 2][2 * half + i % 2];
  }
};

/// A transform of heads from its fragments to those for rows as HeadOfWarp has them: of 32 channels, a lane's eight are
/// its k of two products.
template <class Head>
PLANISH_DEVICE void spread_head_factor(const std::uint16_t* right, unsigned char* to) noexcept {
  const auto* const from = reinterpret_cast<const Vector16*>(right);
  PLANISH_UNROLL
  for (int turn = 0; turn < Head::steps * Head::pairs * 32 / heads_of_warps_threads; ++turn) {
    const int i = thread_index() + turn * heads_of_warps_threads;
    const int lane = i % 32, pair = i / 32 % Head::pairs, step = i / 32 / Head::pairs, quarter = lane % 4;
    const Vector16* const two =
        from + ((step / 2 * 2 + quarter / 2) * Head::pairs + pair) * 32 + lane / 4 * 4 + step % 2 * 2;
    const Vector16 first = two[0], second = two[1];
    const bool odd = quarter % 2 != 0;
    Vector16 v;
    PLANISH_UNROLL
    for (int w = 0; w < 4; w += 2) {
      v.words[w] = odd ? first.words[w + 1] : first.words[w];
      v.words[w + 1] = odd ? second.words[w + 1] : second.words[w];
    }
    reinterpret_cast<Vector16*>(to)[i] = v;
  }
}

/// Item `i` of a launch: 16 tokens of one head; heads of the same tokens are neighbours, queries first.
PLANISH_DEVICE HeadsItem head_of_tokens(const AppendHeadsArguments& a, const AppendHeadsSharing& s, int i) noexcept {
  const int kv_heads = a.cache.layout.kv_heads, all = s.query_heads + 2 * kv_heads, head = i % all, at = i / all;
  HeadsItem item{};
  item.role = head < s.query_heads              ? HeadsItem::Role::query
              : head < s.query_heads + kv_heads ? HeadsItem::Role::key
                                                : HeadsItem::Role::value;
  item.head = head < s.query_heads ? head : (head - s.query_heads) % kv_heads;
  item.heads = 1;
  place_tokens(a, s, at, item);
  return item;
}

/// The rows of a head, zeros where the item has none.
template <class Head>
PLANISH_DEVICE void load_rows_of_head(const AppendHeadsArguments& a, const HeadsItem& item, int column,
                                      Head& head) noexcept {
  using E = typename Head::Type;
  PLANISH_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int row = thread_index() % warp_size / 4 + 8 * half;
    const bool has = item.has(row);
    const E* const from = static_cast<const E*>(a.x) + (has ? item.row_of(row) : item.first_row) * a.x_stride + column;
    PLANISH_UNROLL
    for (int j = 0; j < Head::chunks; ++j) {
      head.rows[half][j] = Vector16{{0, 0, 0, 0}};
      if (has) head.rows[half][j] = reinterpret_cast<const Vector16*>(from)[4 * j + thread_index() % 4];
    }
  }
}

/// Turns them to their positions. Where halves of a head are pairs, both are this lane's.
template <class Head>
PLANISH_DEVICE void turn_rows_of_head(const AppendHeadsArguments& a, const HeadsItem& item, int column,
                                      Head& head) noexcept {
  using E = typename Head::Type;
  const RotaryTable& table = a.rotary;
  const int quarter = thread_index() % 4;
  PLANISH_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int row = thread_index() % warp_size / 4 + 8 * half;
    if (!item.has(row)) continue;
    if (table.interleaved || 2 * table.pairs != Head::channels) {
      const E* const from = static_cast<const E*>(a.x) + item.row_of(row) * a.x_stride + column;
      PLANISH_UNROLL
      for (int j = 0; j < Head::chunks; ++j)
        head.rows[half][j] = turned_chunk<E>(from, 4 * j + quarter, table, item.position_of(row));
      continue;
    }
    PLANISH_UNROLL
    for (int j = 0; j < Head::chunks / 2; ++j) {
      const std::int64_t at = std::int64_t{item.position_of(row)} * table.pairs + 8 * (4 * j + quarter);
      Vector16 &low = head.rows[half][j], &high = head.rows[half][j + Head::chunks / 2];
      PLANISH_UNROLL
      for (int four = 0; four < 2; ++four) {
        const Vector16 c = *reinterpret_cast<const Vector16*>(table.cosines + at + 4 * four);
        const Vector16 s = *reinterpret_cast<const Vector16*>(table.sines + at + 4 * four);
        PLANISH_UNROLL
        for (int word = 2 * four; word < 2 * four + 2; ++word) {
          float first[2], second[2];
          PLANISH_UNROLL
          for (int e = 0; e < 2; ++e) {
            const float x = widen(E{static_cast<std::uint16_t>(low.words[word] >> (16 * e))});
            const float y = widen(E{static_cast<std::uint16_t>(high.words[word] >> (16 * e))});
            const float cosine = __builtin_bit_cast(float, c.words[2 * (word % 2) + e]);
            const float sine = __builtin_bit_cast(float, s.words[2 * (word % 2) + e]);
            first[e] = turned_first(x, y, cosine, sine);
            second[e] = turned_second(x, y, cosine, sine);
          }
          low.words[word] = round_pair(E{}, first[0], first[1]);
          high.words[word] = round_pair(E{}, second[0], second[1]);
        }
      }
    }
  }
}

/// rows · R, R as `spread_head_factor` leaves it, or the rows themselves.
template <class Head>
PLANISH_DEVICE void transform_rows_of_head(const unsigned char* factor, Head& head) noexcept {
  using E = typename Head::Type;
  if (factor == nullptr) {
    PLANISH_UNROLL
    for (int half = 0; half < 2; ++half) PLANISH_UNROLL
    for (int m = 0; m < Head::chunks; ++m) PLANISH_UNROLL
    for (int i = 0; i < 8; ++i)
      head.value(half, m, i) = widen(E{static_cast<std::uint16_t>(head.rows[half][m].words[i / 2] >> (16 * (i % 2)))});
    return;
  }
  const auto* const vectors = reinterpret_cast<const Vector16*>(factor) + thread_index() % warp_size;
  PLANISH_UNROLL
  for (int step = 0; step < Head::steps; ++step) {
    const int j = step / 2, word = step % 2 * 2;
    const std::uint32_t a[4] = {head.rows[0][j].words[word], head.rows[1][j].words[word],
                                head.rows[0][j].words[word + 1], head.rows[1][j].words[word + 1]};
    PLANISH_UNROLL
    for (int pair = 0; pair < Head::pairs; ++pair) {
      const Vector16 b = vectors[(step * Head::pairs + pair) * 32];
      multiply_floats(E{}, head.sums[2 * pair], a, b.words[0], b.words[1]);
      multiply_floats(E{}, head.sums[2 * pair + 1], a, b.words[2], b.words[3]);
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
