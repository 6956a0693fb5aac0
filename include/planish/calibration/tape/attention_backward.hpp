#pragma once
#include <numbers>

#include <planish/calibration/tape/attention_plan.hpp>
#include <planish/calibration/tape/exponential_lanes.hpp>
#include <planish/calibration/tape/row_blocks.hpp>
#include <planish/core/divide_up.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape::detail {

/// The keys of a window in chunks that are differentiated independently. Each chunk has sums of its own for the
/// gradient of the queries: enough of them to keep many workers busy, few enough to be added up quickly.
struct KeyChunks {
  index size, count;  // keys, per window

  explicit KeyChunks(const AttentionPlan& plan) noexcept {
    constexpr index wanted_tasks = 64, least_tiles = 3;
    const index tiles = plan.key_tiles(), others = plan.sequences * plan.kv_heads;
    const index most = std::max<index>(1, divide_up(wanted_tasks, others));
    const index tiles_per_chunk = std::max(least_tiles, divide_up(tiles, most));
    size = tiles_per_chunk * tile_keys;
    count = divide_up(tiles, tiles_per_chunk);
  }
};

/// What the backward pass knows.
template <class T>
struct AttentionGradients {
  MatrixView<const T> q, k, out, d_out, logarithms;
  const T *transposed_keys, *transposed_values;
  T scale;
  bool to_queries, to_keys, to_values;
};

/// What a worker needs for one chunk of keys.
template <class T>
struct BackwardRoom {
  T *queries, *slopes, *query_sums;  // lines × head size
  T *scores, *score_slopes;          // lines × tile_keys
  T* room;                           // the larger of lines and tile_keys × head size
  T *key_sums, *value_sums;          // keys of a chunk × head size
  T *logarithms, *dots;              // lines

  BackwardRoom(const AttentionPlan& plan, const KeyChunks& chunks, T* memory) noexcept {
    RoomParts<T> parts(memory);
    const index lines = plan.most_lines();
    for (T** part : {&queries, &slopes, &query_sums, &room}) *part = parts.next(lines * plan.head_size);
    for (T** part : {&scores, &score_slopes}) *part = parts.next(lines * tile_keys);
    for (T** part : {&key_sums, &value_sums}) *part = parts.next(chunks.size * plan.head_size);
    for (T** part : {&logarithms, &dots}) *part = parts.next(lines);
  }
  [[nodiscard]] static index size(const AttentionPlan& plan, const KeyChunks& chunks) noexcept {
    const index lines = plan.most_lines();
    return 4 * RoomParts<T>::rounded(lines * plan.head_size) + 2 * RoomParts<T>::rounded(lines * tile_keys) +
           2 * RoomParts<T>::rounded(chunks.size * plan.head_size) + 2 * RoomParts<T>::rounded(lines);
  }
};

/// Scores become probabilities p, their gradients dp become p (dp − dot); both 0 from `visible` on.
template <class T>
PLANISH_ALWAYS_INLINE void differentiate_line(T* scores, T* slopes, index visible, index keys, T logarithm,
                                              T dot) noexcept {
  const Lanes<T> subtract(logarithm), centre(dot);
  const index padded = round_up(visible, lane_count<T>);
  for (index c = 0; c < padded; c += lane_count<T>) {
    const Lanes<T> p = power_of_two<T>(load(scores, WholeLanes{c}) - subtract);
    store<T>(p, scores, WholeLanes{c});
    store<T>(p * (load(slopes, WholeLanes{c}) - centre), slopes, WholeLanes{c});
  }
  if (visible < keys) {
    std::fill(scores + visible, scores + keys, T{0});
    std::fill(slopes + visible, slopes + keys, T{0});
  }
}

/// One tile of queries against one tile of keys (FlashAttention-2, arXiv 2307.08691, algorithm 2): adds to the chunk's
/// sums for keys and values, and to the tile's for queries.
template <class T>
void differentiate_tile(const AttentionPlan& plan, const AttentionGradients<T>& g, const QueryTile& tile, index first,
                        index keys, const BackwardRoom<T>& room, T* key_sums, T* value_sums) noexcept {
  const index lines = tile.count * plan.group(), size = plan.head_size;
  const index transposed = plan.transposed_at(tile.sequence, tile.kv_head, first / tile_keys);
  TileProduct<T>{room.queries, size, 1, g.transposed_keys + transposed, tile_keys, lines, size, keys}.to(room.scores,
                                                                                                         tile_keys);
  TileProduct<T>{room.slopes, size, 1, g.transposed_values + transposed, tile_keys, lines, size, keys}.to(
      room.score_slopes, tile_keys);
  for (index line = 0; line < lines; ++line)
    differentiate_line(room.scores + line * tile_keys, room.score_slopes + line * tile_keys,
                       visible_keys(tile.first + line % tile.count, first, keys), keys, room.logarithms[line],
                       room.dots[line]);
  if (g.to_values)
    TileProduct<T>{room.scores, 1, tile_keys, room.slopes, size, keys, lines, size}.add_to(value_sums, room.room);
  if (g.to_keys)
    TileProduct<T>{room.score_slopes, 1, tile_keys, room.queries, size, keys, lines, size}.add_to(key_sums, room.room);
  if (g.to_queries) {
    const T* const key_rows = g.k.row(tile.sequence * plan.window + first) + tile.kv_head * size;
    TileProduct<T>{room.score_slopes, tile_keys, 1, key_rows, g.k.row_stride(), lines, keys, size}.add_to(
        room.query_sums, room.room);
  }
}

/// The gradients of one chunk of keys and values of one KV head, against all queries from its first key on. The
/// chunk's share of the queries' gradient goes to `d_queries`.
template <class T>
void differentiate_chunk(const AttentionPlan& plan, const AttentionGradients<T>& g, index sequence, index kv_head,
                         Range chunk, BackwardRoom<T> room, MatrixView<T> d_queries) noexcept {
  const index size = plan.head_size, length = chunk.end - chunk.begin;
  std::fill_n(room.key_sums, length * size, T{0});
  std::fill_n(room.value_sums, length * size, T{0});
  for (index t = chunk.begin / plan.tile_tokens(); t < plan.query_tiles(); ++t) {
    const QueryTile tile = plan.query_tile(sequence, kv_head, t);
    const index lines = tile.count * plan.group(), end = std::min<index>(chunk.end, tile.first + tile.count);
    gather_lines<T>(plan, tile, g.q, g.scale * std::numbers::log2e_v<T>, room.queries);
    gather_lines<T>(plan, tile, g.d_out, T{1}, room.slopes);
    for_lines(plan, tile, [&](index line, index row, index column) {
      Lanes<T> dot(T{0});
      for_lanes<T>(size, [&](auto at) {
        dot = multiply_add<T>(load(room.slopes + line * size, at), load(g.out.row(row) + column, at), dot);
      });
      room.dots[line] = sum_of<T>(dot);
      room.logarithms[line] = g.logarithms(row, column / size);
    });
    std::fill_n(room.query_sums, lines * size, T{0});
    for (index first = chunk.begin; first < end; first += tile_keys) {
      const index at = (first - chunk.begin) * size;
      differentiate_tile<T>(plan, g, tile, first, std::min(tile_keys, end - first), room, room.key_sums + at,
                            room.value_sums + at);
    }
    if (g.to_queries)
      for_lines(plan, tile, [&](index line, index row, index column) {
        std::copy_n(room.query_sums + line * size, size, d_queries.row(row) + column);
      });
  }
}

/// Adds a chunk's sums, times a factor, to the gradient of keys or values.
template <class T>
void scatter_chunk(const AttentionPlan& plan, index sequence, index kv_head, Range chunk, const T* sums, T factor,
                   GradientTarget<T> to) noexcept {
  const Lanes<T> times(factor);
  for (index i = chunk.begin; i < chunk.end; ++i) {
    T* const row = to.at.row(sequence * plan.window + i) + kv_head * plan.head_size;
    for_lanes<T>(plan.head_size, [&](auto at) {
      accumulate<T>(load(sums + (i - chunk.begin) * plan.head_size, at) * times, row, at, to.fresh);
    });
  }
}

/// Adds the chunks' shares, in the order of the chunks, times a factor, to the gradient of the queries.
template <class T>
void add_query_shares(ExecutorReference executor, const AttentionPlan& plan, const KeyChunks& chunks,
                      MatrixView<const T> shares, T factor, GradientTarget<T> to) {
  const index rows = to.at.rows(), columns = to.at.columns();
  const Lanes<T> times(factor);
  for_row_blocks(executor, rows, rows_per_block(rows, columns), [&](index first, index count) {
    for (index r = first; r < first + count; ++r) {
      // a chunk has a share in every tile of queries that reaches its first key
      const index last = (r % plan.window) / chunks.size;
      for_lanes<T>(columns, [&](auto at) {
        Lanes<T> sum = load(shares.row(r), at);
        for (index chunk = 1; chunk <= last; ++chunk) sum = sum + load(shares.row(chunk * rows + r), at);
        accumulate<T>(sum * times, to.at.row(r), at, to.fresh);
      });
    }
  });
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape::detail
