#pragma once
#include <cmath>
#include <limits>
#include <numbers>

#include <planish/calibration/tape/attention_plan.hpp>
#include <planish/calibration/tape/exponential_lanes.hpp>
#include <planish/core/divide_up.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape::detail {

/// 2^x of one number, as power_of_two gives it.
template <class T>
[[nodiscard]] PLANISH_ALWAYS_INLINE T single_power_of_two(T x) noexcept {
  if constexpr (std::is_same_v<T, float>)
    return kernels::reference::power_of_two(x);
  else
    return std::exp2(x);
}

/// What a worker needs for one tile of queries, and what it knows of its lines.
template <class T>
struct ForwardRoom {
  T *queries, *scores, *totals, *room;  // lines × head size, × tile_keys, × head size, × head size
  T *maxima, *sums, *decays;            // lines

  ForwardRoom(const AttentionPlan& plan, T* memory) noexcept {
    RoomParts<T> parts(memory);
    const index lines = plan.most_lines();
    queries = parts.next(lines * plan.head_size);
    scores = parts.next(lines * tile_keys);
    totals = parts.next(lines * plan.head_size);
    room = parts.next(lines * plan.head_size);
    maxima = parts.next(lines);
    sums = parts.next(lines);
    decays = parts.next(lines);
  }
  [[nodiscard]] static index size(const AttentionPlan& plan) noexcept {
    const index lines = plan.most_lines();
    return 3 * RoomParts<T>::rounded(lines * plan.head_size) + RoomParts<T>::rounded(lines * tile_keys) +
           3 * RoomParts<T>::rounded(lines);
  }
};

/// One step of the online softmax: scores become 2^(score − maximum), 0 from `visible` on.
template <class T>
PLANISH_ALWAYS_INLINE void soften_line(T* scores, index visible, index keys, T& maximum, T& sum, T& decay) noexcept {
  if (visible == 0) {
    std::fill_n(scores, keys, T{0});
    decay = T{1};
    return;
  }
  const index padded = round_up(keys, lane_count<T>);
  std::fill(scores + visible, scores + padded, -std::numeric_limits<T>::infinity());
  Lanes<T> highest(maximum);
  for (index c = 0; c < padded; c += lane_count<T>) highest = xsimd::max(load(scores, WholeLanes{c}), highest);
  const T now = fold<T>(highest, [](T a, T b) { return a > b ? a : b; });
  decay = single_power_of_two(maximum - now);
  maximum = now;
  const Lanes<T> subtract(now);
  Lanes<T> added(T{0});
  for (index c = 0; c < padded; c += lane_count<T>) {
    const Lanes<T> p = power_of_two<T>(load(scores, WholeLanes{c}) - subtract);
    store<T>(p, scores, WholeLanes{c});
    added = added + p;
  }
  sum = sum * decay + sum_of<T>(added);
}

/// Attention of one tile of queries over all keys up to it (Milakov & Gimelshein, arXiv 1805.02867; FlashAttention-2,
/// arXiv 2307.08691, algorithm 1). `transposed_keys` are those of the plan; `logarithms` (tokens × heads) gets the
/// base-2 logarithm of every line's sum of powers.
template <class T>
void attend_queries(const AttentionPlan& plan, const QueryTile& tile, T scale, MatrixView<const T> q,
                    const T* transposed_keys, MatrixView<const T> v, ForwardRoom<T> room, MatrixView<T> out,
                    MatrixView<T> logarithms) noexcept {
  const index lines = tile.count * plan.group(), size = plan.head_size, end = tile.first + tile.count;
  gather_lines<T>(plan, tile, q, scale * std::numbers::log2e_v<T>, room.queries);
  std::fill_n(room.maxima, lines, -std::numeric_limits<T>::infinity());
  std::fill_n(room.sums, lines, T{0});
  for (index first = 0; first < end; first += tile_keys) {
    const index keys = std::min(tile_keys, end - first);
    TileProduct<T>{
        room.queries, size,  1,    transposed_keys + plan.transposed_at(tile.sequence, tile.kv_head, first / tile_keys),
        tile_keys,    lines, size, keys}
        .to(room.scores, tile_keys);
    for (index line = 0; line < lines; ++line)
      soften_line(room.scores + line * tile_keys, visible_keys(tile.first + line % tile.count, first, keys), keys,
                  room.maxima[line], room.sums[line], room.decays[line]);
    const T* const values = v.row(tile.sequence * plan.window + first) + tile.kv_head * size;
    const TileProduct<T> weighted{room.scores, tile_keys, 1, values, v.row_stride(), lines, keys, size};
    if (first == 0) {
      weighted.to(room.totals, size);
      continue;
    }
    weighted.to(room.room, size);
    for (index line = 0; line < lines; ++line) {
      const Lanes<T> decay(room.decays[line]);
      T* const total = room.totals + line * size;
      for_lanes<T>(size, [&](auto at) {
        store<T>(multiply_add<T>(load(total, at), decay, load(room.room + line * size, at)), total, at);
      });
    }
  }
  for_lines(plan, tile, [&](index line, index row, index column) {
    const Lanes<T> inverse(T{1} / room.sums[line]);
    for_lanes<T>(size,
                 [&](auto at) { store<T>(load(room.totals + line * size, at) * inverse, out.row(row) + column, at); });
    logarithms(row, column / size) = room.maxima[line] + std::log2(room.sums[line]);
  });
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape::detail
