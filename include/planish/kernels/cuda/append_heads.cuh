#pragma once
// The heads of new tokens as a projection leaves them, to what attention reads, in one launch: queries and keys turn
// with their position (RoPE) and meet the transform of heads on the matrix units; queries become rows, keys and values
// codes in the pages of a batch.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/append_cache.cuh>
#include <planish/kernels/cuda/kronecker_factors.cuh>
#include <planish/kernels/cuda/turned_heads.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Every pointer is of device memory. A row of x holds query heads, key heads and value heads side by side. Sequences
/// have rows as in AppendArguments. Turned heads are rounded to the type of x; queries that come out of their transform
/// are rounded once more, keys become codes as they are. `queries`, `keys`: factors with n1 = 1, n2 = head_size and x's
/// type, of which only `right` is read; null: no transform. Values have theirs in the weights of their projection.
struct AppendHeadsArguments {
  const void* x = nullptr;    // rows × (query_heads + 2 · kv_heads) · head_size, on multiples of 16 bytes
  std::int64_t x_stride = 0;  // elements, a multiple of 8
  RotaryTable rotary{};       // of the positions up to cache.lengths
  KroneckerFactorsView queries{}, keys{};
  void* q = nullptr;                         // rows × query_heads · head_size, of x's type
  std::int64_t q_stride = 0;                 // elements, a multiple of 8
  const std::int32_t* first_rows = nullptr;  // [sequences + 1]; null: `tokens` rows for each
  ClipPair key_clip{}, value_clip{};
  CachePages cache;
  std::int32_t* bad_rows = nullptr;  // keys and values of a head that held NaN or infinity are added here; may be null
};

/// How the blocks of a launch share the heads: a block takes 16 rows at a time, one head of 16 tokens in a row or,
/// where a sequence has fewer new ones, 16 heads of one token.
struct AppendHeadsSharing {
  int query_heads = 0, tokens = 1, groups = 1;  // groups: of 16 tokens that a sequence's new ones can touch
  bool by_heads = false;
  bool of_warps = false;                          // a warp takes the 16 rows: append_heads_warps
  int query_items = 0, key_items = 0, items = 0;  // queries first, then keys, then as many for values

  [[nodiscard]] PLANISH_HOST_DEVICE constexpr int heads_of(int item, int kv_heads) const noexcept {
    return item < query_items ? query_heads : kv_heads;
  }
};

inline constexpr int heads_threads = 128, heads_warps = heads_threads / warp_size, heads_rows = 16;

/// Shared memory of a block: rows of 16-bit elements, turned and two items' as they come, codes, and where the warps'
/// ranges meet.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int heads_pitch(int head_size) noexcept { return head_size * 2 + 16; }
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int heads_shared_bytes(int head_size) noexcept {
  return heads_rows * (3 * heads_pitch(head_size) + append_stride + heads_warps * static_cast<int>(sizeof(RangeSoFar)));
}

/// Which heads of which tokens a block works on.
struct HeadsItem {
  enum class Role : std::uint8_t { query, key, value };
  Role role;
  bool by_heads;
  int sequence, head, heads;  // the first head, and how many: 1 where rows are tokens
  int begin, end;             // tokens of the sequence; one where rows are heads
  int first;                  // position of the sequence's first new token, which lies in row `first_row`
  std::int64_t first_row;

  [[nodiscard]] PLANISH_DEVICE bool has(int row) const noexcept {
    return by_heads ? row < heads : row >= begin % heads_rows && row < begin % heads_rows + end - begin;
  }
  [[nodiscard]] PLANISH_DEVICE int head_of(int row) const noexcept { return by_heads ? head + row : head; }
  [[nodiscard]] PLANISH_DEVICE int position_of(int row) const noexcept {
    return by_heads ? begin : begin / heads_rows * heads_rows + row;
  }
  /// Of x and q.
  [[nodiscard]] PLANISH_DEVICE std::int64_t row_of(int row) const noexcept {
    return first_row + position_of(row) - first;
  }
};

/// The tokens of an item: of group `at` of all sequences' groups; none where the sequence has none there.
PLANISH_DEVICE void place_tokens(const AppendHeadsArguments& a, const AppendHeadsSharing& s, int at,
                                 HeadsItem& item) noexcept {
  item.sequence = at / s.groups;
  item.first_row =
      a.first_rows == nullptr ? std::int64_t{item.sequence} * s.tokens : std::int64_t{a.first_rows[item.sequence]};
  int count = a.first_rows == nullptr ? s.tokens : a.first_rows[item.sequence + 1] - static_cast<int>(item.first_row);
  if (count > s.tokens) count = s.tokens;
  const int length = a.cache.lengths[item.sequence];
  item.first = length - count;
  if (count <= 0 || item.first < 0) return;
  if (s.by_heads) {
    item.begin = item.first + at % s.groups;
    item.end = item.begin < length ? item.begin + 1 : item.begin;
    return;
  }
  const int group = item.first / heads_rows + at % s.groups;
  item.begin = group * heads_rows > item.first ? group * heads_rows : item.first;
  item.end = (group + 1) * heads_rows < length ? (group + 1) * heads_rows : length;
  if (item.end < item.begin) item.end = item.begin;
}

/// Item `i`; without tokens where the sequence has none there.
PLANISH_DEVICE HeadsItem heads_item(const AppendHeadsArguments& a, const AppendHeadsSharing& s, int i) noexcept {
  const int kv_heads = a.cache.layout.kv_heads;
  HeadsItem item{};
  item.role = i < s.query_items                 ? HeadsItem::Role::query
              : i < s.query_items + s.key_items ? HeadsItem::Role::key
                                                : HeadsItem::Role::value;
  const int heads = s.heads_of(i, kv_heads), each = s.by_heads ? (heads + heads_rows - 1) / heads_rows : heads;
  const int own = item.role == HeadsItem::Role::query ? i
                  : item.role == HeadsItem::Role::key ? i - s.query_items
                                                      : i - s.query_items - s.key_items;
  const int at = own / each;
  item.by_heads = s.by_heads;
  item.head = own % each * (s.by_heads ? heads_rows : 1);
  item.heads = !s.by_heads ? 1 : heads - item.head < heads_rows ? heads - item.head : heads_rows;
  place_tokens(a, s, at, item);
  return item;
}

/// Brings the item's heads into shared memory in the background, as they are; rows that it has not become zero.
template <class E>
PLANISH_DEVICE void fetch_heads(const AppendHeadsArguments& a, const AppendHeadsSharing& s, const HeadsItem& item,
                                unsigned char* raw) noexcept {
  const int size = a.cache.layout.head_size, chunks = size / 8;
  const int before = item.role == HeadsItem::Role::query ? 0
                     : item.role == HeadsItem::Role::key ? s.query_heads
                                                         : s.query_heads + a.cache.layout.kv_heads;
  for (int i = thread_index(); i < heads_rows * chunks; i += heads_threads) {
    const int row = i / chunks, chunk = i % chunks;
    const bool has = item.has(row);
    const E* const head = static_cast<const E*>(a.x) + (has ? item.row_of(row) : item.first_row) * a.x_stride +
                          std::int64_t{before + (has ? item.head_of(row) : 0)} * size;
    copy_async_16(raw + row * heads_pitch(size) + chunk * 16, head + 8 * chunk, has ? 16 : 0);
  }
}

/// Turns them, into rows of shared memory.
template <class E>
PLANISH_DEVICE void turn_heads(const AppendHeadsArguments& a, const HeadsItem& item, const unsigned char* raw,
                               unsigned char* rows) noexcept {
  const int size = a.cache.layout.head_size, chunks = size / 8;
  for (int i = thread_index(); i < heads_rows * chunks; i += heads_threads) {
    const int row = i / chunks, chunk = i % chunks, at = row * heads_pitch(size);
    const auto* const head = reinterpret_cast<const E*>(raw + at);
    *reinterpret_cast<Vector16*>(rows + at + chunk * 16) =
        item.role == HeadsItem::Role::value || !item.has(row)
            ? reinterpret_cast<const Vector16*>(head)[chunk]
            : turned_chunk<E>(head, chunk, a.rotary, item.position_of(row));
  }
}

/// Asks for the cosines and sines of an item, which are older than its heads.
PLANISH_DEVICE void expect_rotary(const RotaryTable& table, const HeadsItem& item) noexcept {
  const int lines = (table.pairs * 4 + 127) / 128;
  if (item.begin >= item.end) return;
  for (int i = thread_index(); i < 2 * heads_rows * lines; i += heads_threads) {
    const int row = i / 2 / lines, line = i / 2 % lines;
    if (!item.has(row) || (item.by_heads && row > 0)) continue;
    const float* const from =
        (i % 2 == 0 ? table.cosines : table.sines) + std::int64_t{item.position_of(row)} * table.pairs + line * 32;
    prefetch_line(from);
  }
}

/// The columns of a warp: products of 16 of them, and of their sums what a lane has of rows lane / 4 and lane / 4 + 8.
template <int Channels>
struct HeadsColumns {
  static constexpr int steps = Channels / 16, most = (steps + heads_warps - 1) / heads_warps;
  int first, count, all;  // pairs of products

  PLANISH_DEVICE explicit HeadsColumns(int head_size) noexcept {
    all = head_size / 16;
    const int each = (all + heads_warps - 1) / heads_warps;
    first = thread_index() / warp_size * each;
    count = all % heads_warps == 0 || all - first >= each ? each : all - first;
  }
  /// Column of this lane's first sum of product `tile` of this warp; the second is beside it.
  [[nodiscard]] PLANISH_DEVICE int column(int tile) const noexcept {
    return kronecker_column(2 * all, 2 * first + tile, 2 * (thread_index() % 4));
  }
};

/// A warp's part of a factor, kept while the role stays where it has room: `Channels` up to 128.
template <int Channels>
struct HeadsFactor {
  using Columns = HeadsColumns<Channels>;
  static constexpr bool keeps = Channels <= 128;
  const unsigned char* from = nullptr;  // of this lane; null: no transform
  Vector16 kept[keeps ? Columns::steps : 1][keeps ? Columns::most : 1];

  PLANISH_DEVICE void take(const std::uint16_t* right, const Columns& columns) noexcept {
    from = right == nullptr
               ? nullptr
               : reinterpret_cast<const unsigned char*>(right) + columns.first * 512 + thread_index() % warp_size * 16;
    if constexpr (keeps) {
      if (from == nullptr) return;
      PLANISH_UNROLL
      for (int k = 0; k < Columns::steps; ++k) PLANISH_UNROLL
      for (int n = 0; n < Columns::most; ++n)
        kept[k][n] = k < columns.all && n < columns.count ? load(k, n, columns) : Vector16{{0, 0, 0, 0}};
    }
  }
  [[nodiscard]] PLANISH_DEVICE Vector16 load(int k, int n, const Columns& columns) const noexcept {
    return *reinterpret_cast<const Vector16*>(from + (k * columns.all + n) * 512);
  }
  [[nodiscard]] PLANISH_DEVICE Vector16 at(int k, int n, const Columns& columns) const noexcept {
    if constexpr (keeps)
      return kept[k][n];
    else
      return load(k, n, columns);
  }
};

/// rows · R of one warp's columns, or the rows themselves.
template <class E, int Channels>
PLANISH_DEVICE void transform_heads(const HeadsFactor<Channels>& factor, const HeadsColumns<Channels>& columns,
                                    const unsigned char* rows, int head_size,
                                    float (&sums)[2 * HeadsColumns<Channels>::most][4]) noexcept {
  using Columns = HeadsColumns<Channels>;
  const int lane = thread_index() % warp_size, pitch = heads_pitch(head_size);
  if (factor.from == nullptr) {
    PLANISH_UNROLL
    for (int tile = 0; tile < 2 * Columns::most; ++tile) {
      if (tile >= 2 * columns.count) break;
      PLANISH_UNROLL
      for (int r = 0; r < 4; ++r)
        sums[tile][r] = widen(
            *reinterpret_cast<const E*>(rows + (lane / 4 + r / 2 * 8) * pitch + (columns.column(tile) + r % 2) * 2));
    }
    return;
  }
  const unsigned char* const from = rows + lane % 16 * pitch + lane / 16 * 16;
  PLANISH_UNROLL
  for (int k = 0; k < Columns::steps; ++k) {
    if (k >= columns.all) break;
    std::uint32_t a[4];
    load_rows(a, from + k * 32);
    PLANISH_UNROLL
    for (int n = 0; n < Columns::most; ++n) {
      if (n >= columns.count) break;
      const Vector16 b = factor.at(k, n, columns);
      multiply_floats(E{}, sums[2 * n], a, b.words[0], b.words[1]);
      multiply_floats(E{}, sums[2 * n + 1], a, b.words[2], b.words[3]);
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
