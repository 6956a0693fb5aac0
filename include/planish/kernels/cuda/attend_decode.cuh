#pragma once
// Decoding over a quantized cache: every warp streams tiles of tokens through a ring of its own in shared memory, all
// lines of a KV head read them once, and the shares of a sequence become one result in the same launch.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/attend_join.cuh>
#include <planish/kernels/cuda/attend_tile.cuh>
#include <planish/kernels/cuda/early_start.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Copies `bytes`, a multiple of 16, in the background.
PLANISH_DEVICE void copy_lines(unsigned char* to, const std::uint8_t* from, int bytes) noexcept {
  constexpr int round = warp_size * 16;
  const int own = thread_index() % warp_size * 16;
  PLANISH_UNROLL
  for (int at = 0; at < bytes; at += round)
    if (at + round <= bytes || at + own < bytes) copy_async_16(to + at + own, from + at + own, 16);
}

/// The tiles of one warp, `step` apart from `begin` to `end`, fetched one after another.
template <class Size>
struct TileFetcher {
  const CachePages* cache;
  const std::int32_t* table;  // of the sequence
  int kv_head, begin, end, step;
  std::int32_t pages = 0;  // lane i: page of tile i, i + 32 …

  [[nodiscard]] PLANISH_DEVICE int count() const noexcept { return begin < end ? (end - begin + step - 1) / step : 0; }
  [[nodiscard]] PLANISH_DEVICE int tile(int n) const noexcept { return begin + n * step; }

  /// Starts the copies of tile n; to call once for each, in order.
  PLANISH_DEVICE void fetch(int n, unsigned char* to) noexcept {
    constexpr int share = 4 / Size::units;
    if (n % warp_size == 0) {
      const int mine = tile(n + thread_index() % warp_size);
      pages = mine < end ? table[mine / share] : 0;
    }
    const CacheLayout& l = cache->layout;
    const std::uint8_t* head = cache->head(broadcast(pages, n % warp_size), kv_head);
    if constexpr (share == 1) {
      copy_lines(to, head, l.head_bytes());
    } else {
      const int part = tile(n) % share, keys = l.key_bytes() / share, values = l.value_bytes() / share;
      copy_lines(to, head + part * keys, keys);
      copy_lines(to + keys, head + l.key_bytes() + part * values, values);
      copy_lines(to + keys + values, head + l.side_offset(), cache_side_bytes);
    }
  }
};

/// The queries of a block's lines, each over a power of two of its own, as the small operand of the products over 16
/// channels: [part][product][eight lines][lane]; and what is known of each line.
template <class Size>
PLANISH_DEVICE void store_queries(const AttendArguments& a, const AttendSharing& s, const AttendPlace& p, int length,
                                  unsigned char* queries, float* of_lines) noexcept {
  const CacheLayout& l = a.cache.layout;
  const int lane = thread_index() % warp_size, fields = 8 / l.key_width, steps = attend_steps(l);
  const int part_bytes = steps * Size::line_tiles * 256;
  for (int line = thread_index() / warp_size; line < Size::lines; line += s.warps) {
    const int at = p.first_line + line;
    const bool exists = line < p.lines;
    const std::int64_t row =
        (p.first_row + at / s.group) * a.q_stride + std::int64_t{p.first_head + at % s.group} * l.head_size;
    float values[most_head_size / warp_size], largest = 0.0f;
    PLANISH_UNROLL
    for (int i = 0; i < most_head_size / warp_size; ++i) {
      const int channel = lane + i * warp_size;
      values[i] = exists && channel < l.head_size ? load_element(a.q, s.input, row + channel) : 0.0f;
      largest = greatest_or_nan(largest, values[i] < 0.0f ? -values[i] : values[i]);
    }
    PLANISH_UNROLL
    for (int mask = 16; mask > 0; mask /= 2) largest = greatest_or_nan(largest, shuffle_xor(largest, mask));
    const bool finite = is_finite(largest);
    const HalfUnit unit(largest);
    float sum = 0.0f;
    PLANISH_UNROLL
    for (int i = 0; i < most_head_size / warp_size; ++i) {
      const int channel = lane + i * warp_size;
      if (channel >= steps * 16) continue;
      const int byte = channel / fields, quad = byte % 4;
      const int step = byte / 16 * fields + channel % fields;
      unsigned char* to = queries + (step * Size::line_tiles + line / 8) * 256 + (line % 8 * 4 + byte % 16 / 4) * 8 +
                          quad % 2 * 4 + quad / 2 * 2;
      const float value = finite ? values[i] * unit.inverse : 0.0f;
      float rest = value;
      for (int part = 0; part < s.parts; ++part) {
        const Half half{static_cast<std::uint16_t>(round_pair(Half{}, rest, 0.0f))};
        *reinterpret_cast<std::uint16_t*>(to + part * part_bytes) = half.bits;
        rest -= widen(half);
      }
      sum += value - rest;
    }
    PLANISH_UNROLL
    for (int mask = 16; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
    if (lane != 0) continue;
    constexpr float log2_e = 1.44269504088896340736f;
    of_lines[line] = finite ? a.softmax_scale * log2_e * unit.unit : planish::detail::not_a_number;
    of_lines[Size::lines + line] = sum;
    of_lines[2 * Size::lines + line] = __builtin_bit_cast(float, exists ? length - (s.queries - 1 - at / s.group) : 0);
  }
}

/// What this lane needs of them.
template <class Size>
PLANISH_DEVICE AttendLines<Size> load_lines(const float* of_lines, int fewest) noexcept {
  AttendLines<Size> lines;
  PLANISH_UNROLL
  for (int n = 0; n < Size::line_tiles; ++n) PLANISH_UNROLL
  for (int e = 0; e < 2; ++e) {
    const int line = 8 * n + thread_index() % 4 * 2 + e;
    lines.factor[n][e] = of_lines[line];
    lines.sum[n][e] = of_lines[Size::lines + line];
    lines.visible[n][e] = __builtin_bit_cast(std::int32_t, of_lines[2 * Size::lines + line]);
  }
  lines.fewest = fewest;
  return lines;
}

/// A warp's results to the lines of its place in shared memory.
template <class Size>
PLANISH_DEVICE void store_state(const CacheLayout& l, AttendState<Size>& state, float* mine) noexcept {
  const int lane = thread_index() % warp_size, fields = 8 / (Size::whole ? Size::width : l.value_width);
  const int stride = attend_line_floats(l.head_size);
  PLANISH_UNROLL
  for (int n = 0; n < Size::line_tiles; ++n) {
    PLANISH_UNROLL
    for (int m = 0; m < Size::channels / 16; ++m) PLANISH_UNROLL
    for (int r = 0; r < 4; ++r) {
      const int byte = m / fields * 16 + lane / 4 + r / 2 * 8, channel = byte * fields + m % fields;
      const int line = 8 * n + lane % 4 * 2 + r % 2;
      if (channel < l.head_size) mine[line * stride + channel] = (state.out[m][n][r] - state.zero[n][r]) * state.unit;
    }
    PLANISH_UNROLL
    for (int e = 0; e < 2; ++e) {
      float total = state.total[n][e];
      PLANISH_UNROLL
      for (int mask = 4; mask < warp_size; mask *= 2) total += shuffle_xor(total, mask);
      const int line = 8 * n + lane % 4 * 2 + e;
      if (lane < 4) AttendLine{mine + line * stride, l.head_size}.set_ends(state.highest[n][e], total);
    }
  }
}

/// blocks = sequences × splits × KV heads × line tiles, the last fastest.
template <class Size>
PLANISH_KERNEL(Size::most_warps* warp_size, Size::blocks)
attend_decode(AttendArguments a, AttendSharing s) {
  a.cache.layout = known_layout<Size>(a.cache.layout);
  const CacheLayout& l = a.cache.layout;
  const AttendMemory memory = attend_memory<Size>(l, s.warps, s.parts);
  const int line_tile = block_index() % s.line_tiles, kv_head = block_index() / s.line_tiles % l.kv_heads;
  const int rest = block_index() / s.line_tiles / l.kv_heads, split = rest % s.splits, sequence = rest / s.splits;
  const int warp = thread_index() / warp_size;

  const int stored = a.cache.lengths[sequence], length = stored < 0 ? 0 : stored < s.tokens ? stored : s.tokens;
  const int tiles = (length + Size::tile - 1) / Size::tile, shares = (tiles + s.warps - 1) / s.warps;
  const int splits = shares < 1 ? 1 : shares < s.splits ? shares : s.splits;  // with a tile for every warp
  if (split >= splits) return wait_for_kernel_before();
  AttendPlace p;
  p.slots = block_count() / s.splits;
  p.slot = (sequence * l.kv_heads + kv_head) * s.line_tiles + line_tile;
  p.split = split;
  p.splits = splits;
  p.most_splits = s.splits;
  p.lines_of_slot = Size::lines;
  p.first_row = sequence * s.queries;
  p.first_line = line_tile * Size::lines;
  p.lines = s.lines() - p.first_line < Size::lines ? s.lines() - p.first_line : Size::lines;
  p.first_head = kv_head * s.group;

  unsigned char* ring = shared_memory() + memory.ring_offset + warp * 2 * memory.tile_bytes;
  TileFetcher<Size> fetcher{&a.cache,
                            a.cache.table + std::int64_t{sequence} * a.cache.table_stride,
                            kv_head,
                            static_cast<int>(std::int64_t{tiles} * split / splits) + warp,
                            static_cast<int>(std::int64_t{tiles} * (split + 1) / splits),
                            s.warps};
  const int count = fetcher.count();
  int fetched = 0;
  const auto fetch_first = [&](int end) {
    for (; fetched < end; ++fetched) {
      if (fetched < count) fetcher.fetch(fetched, ring + fetched * memory.tile_bytes);
      commit_copies();
    }
  };
  // The kernel in front may be the one that appends the tokens that ask.
  const auto is_old = [&](int n) { return n < count && (fetcher.tile(n) + 1) * Size::tile <= length - s.queries; };
  fetch_first(!is_old(0) ? 0 : is_old(1) ? 2 : 1);
  wait_for_kernel_before();
  let_next_kernel_start();
  fetch_first(2);
  auto* of_lines = reinterpret_cast<float*>(shared_memory() + memory.line_offset);
  store_queries<Size>(a, s, p, length, shared_memory(), of_lines);
  block_barrier();
  const AttendLines<Size> lines = load_lines<Size>(of_lines, length - (s.queries - 1 - p.first_line / s.group));

  AttendState<Size> state;
  PLANISH_UNROLL
  for (int n = 0; n < Size::line_tiles; ++n) state.highest[n][0] = state.highest[n][1] = -__builtin_inff();
  PLANISH_NO_UNROLL
  for (int n = 0; n < count; ++n) {
    unsigned char* tile = ring + n % 2 * memory.tile_bytes;
    wait_copies<1>();
    warp_barrier();
    const int at = fetcher.tile(n);
    attend_tile<Size>(l, tile, at % (4 / Size::units), at * Size::tile, length, shared_memory(), s.parts, lines, state);
    warp_barrier();
    if (n + 2 < count) fetcher.fetch(n + 2, tile);
    commit_copies();
  }
  wait_copies<0>();
  block_barrier();  // the rings make room for the results
  auto* meeting = reinterpret_cast<float*>(shared_memory() + memory.ring_offset);
  store_state<Size>(l, state, meeting + warp * Size::lines * attend_line_floats(l.head_size));
  block_barrier();
  join_warps(a, s, p, meeting);
  if (splits == 1) return;
  if (is_last_split(a, p, reinterpret_cast<std::int32_t*>(of_lines + 3 * Size::lines))) join_attend_splits(a, s, p);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
