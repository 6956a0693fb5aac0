#pragma once
// How attention cuts its work into tiles, and what its two directions share.
#include <algorithm>

#include <planish/calibration/tape/lanes.hpp>
#include <planish/calibration/tape/tile_product.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/matrix_view.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape::detail {

/// Query lines and keys of a tile: multiples of every register tile, small enough for the first two caches.
inline constexpr index tile_lines = 96, tile_keys = 96;

/// Some tokens of a window with the query heads of one KV head. Line g · count + t is token t, head g of the group.
struct QueryTile {
  index sequence, kv_head, first, count;  // tokens of the window
};

/// The shape of an attention and the cuts that follow from it alone, never from the number of workers.
struct AttentionPlan {
  index window, sequences, heads, kv_heads, head_size;

  [[nodiscard]] index group() const noexcept { return heads / kv_heads; }
  [[nodiscard]] index most_lines() const noexcept { return std::max(tile_lines, group()); }
  [[nodiscard]] index tile_tokens() const noexcept { return std::max<index>(1, tile_lines / group()); }
  [[nodiscard]] index query_tiles() const noexcept { return divide_up(window, tile_tokens()); }
  [[nodiscard]] index key_tiles() const noexcept { return divide_up(window, tile_keys); }

  /// The tile from token `index of tile` · tile_tokens() of a window on.
  [[nodiscard]] QueryTile query_tile(index sequence, index kv_head, index tile) const noexcept {
    const index first = tile * tile_tokens();
    return {sequence, kv_head, first, std::min(tile_tokens(), window - first)};
  }

  /// Elements of one transposed tile of keys: head size × tile_keys.
  [[nodiscard]] index transposed_tile() const noexcept { return head_size * tile_keys; }
  [[nodiscard]] index transposed_size() const noexcept {
    return sequences * kv_heads * key_tiles() * transposed_tile();
  }
  [[nodiscard]] index transposed_at(index sequence, index kv_head, index key_tile) const noexcept {
    return ((sequence * kv_heads + kv_head) * key_tiles() + key_tile) * transposed_tile();
  }
};

/// Every tile of keys (or values) as head size × tile_keys.
template <class T>
void transpose_keys(ExecutorReference executor, const AttentionPlan& plan, MatrixView<const T> keys, T* to) {
  const index tiles = plan.key_tiles();
  executor.run(static_cast<int>(plan.sequences * plan.kv_heads * tiles), [&](int task, int) {
    const index tile = task % tiles, kv_head = task / tiles % plan.kv_heads, sequence = task / tiles / plan.kv_heads;
    const index first = tile * tile_keys, count = std::min(tile_keys, plan.window - first);
    transpose_tile(keys.row(sequence * plan.window + first) + kv_head * plan.head_size, keys.row_stride(), count,
                   plan.head_size, to + plan.transposed_at(sequence, kv_head, tile), tile_keys);
  });
}

/// body(line, row of a tokens × heads · head size matrix, its first column).
template <class Body>
PLANISH_ALWAYS_INLINE void for_lines(const AttentionPlan& plan, const QueryTile& tile, Body&& body) {
  for (index g = 0, line = 0; g < plan.group(); ++g)
    for (index t = 0; t < tile.count; ++t, ++line)
      body(line, tile.sequence * plan.window + tile.first + t, (tile.kv_head * plan.group() + g) * plan.head_size);
}

/// The tile's lines of a matrix times a factor, packed.
template <class T>
void gather_lines(const AttentionPlan& plan, const QueryTile& tile, MatrixView<const T> from, T factor,
                  T* to) noexcept {
  const Lanes<T> times(factor);
  for_lines(plan, tile, [&](index line, index row, index column) {
    for_lanes<T>(plan.head_size,
                 [&](auto at) { store<T>(load(from.row(row) + column, at) * times, to + line * plan.head_size, at); });
  });
}

/// Keys of a tile from `first_key` that token `token` of the window sees, of `keys`.
[[nodiscard]] PLANISH_ALWAYS_INLINE index visible_keys(index token, index first_key, index keys) noexcept {
  return std::clamp<index>(token - first_key + 1, 0, keys);
}

/// Hands out parts of one worker's memory, each on a cache line of its own.
template <class T>
class RoomParts {
 public:
  explicit RoomParts(T* at) noexcept : at_(at) {}
  [[nodiscard]] T* next(index count) noexcept {
    T* const part = at_;
    at_ += rounded(count);
    return part;
  }
  [[nodiscard]] static constexpr index rounded(index count) noexcept { return (count + 15) / 16 * 16; }

 private:
  T* at_;
};

}  // namespace planish::inline PLANISH_ABI::calibration::tape::detail
