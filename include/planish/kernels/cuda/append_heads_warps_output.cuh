#pragma once
// From a warp's heads to rows of queries, or to codes in the pages of a batch; and the kernel.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/append_heads_warps.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

template <class Head>
PLANISH_DEVICE void store_rows_of_head(const AppendHeadsArguments& a, const HeadsItem& item, bool transformed,
                                       Head& head) noexcept {
  using E = typename Head::Type;
  PLANISH_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int row = thread_index() % warp_size / 4 + 8 * half;
    if (!item.has(row)) continue;
    E* const to = static_cast<E*>(a.q) + item.row_of(row) * a.q_stride + item.head * Head::channels;
    PLANISH_UNROLL
    for (int m = 0; m < Head::chunks; ++m) {
      Vector16 v;
      PLANISH_UNROLL
      for (int i = 0; i < 4; ++i)
        v.words[i] = round_pair(E{}, head.value(half, m, 2 * i), head.value(half, m, 2 * i + 1));
      *reinterpret_cast<Vector16*>(to + Head::first_channel(m, transformed)) = v;
    }
  }
}

/// Eight codes, packed: `width` bytes of the two words.
PLANISH_DEVICE Vector8 packed_eight(const std::uint32_t (&codes)[8], int width) noexcept {
  std::uint32_t low = 0, high = 0;
  PLANISH_UNROLL
  for (int i = 3; i >= 0; --i) {
    low = low << width | codes[i];
    high = high << width | codes[i + 4];
  }
  return {{width == 8 ? low : low | high << (4 * width), high}};
}
PLANISH_DEVICE void store_eight(std::uint8_t* to, const Vector8& packed, int width) noexcept {
  if (width == 8)
    *reinterpret_cast<Vector8*>(to) = packed;
  else if (width == 4)
    *reinterpret_cast<std::uint32_t*>(to) = packed.words[0];
  else
    *reinterpret_cast<std::uint16_t*>(to) = static_cast<std::uint16_t>(packed.words[0]);
}

/// Packed codes of values, token t of 16 at codes + t · pitch, to their place, by one warp.
template <class Head>
PLANISH_DEVICE void store_packed_values(const CacheLayout& l, std::uint8_t* rows, const std::uint8_t* codes,
                                        const HeadsItem& item) noexcept {
  const int bytes = Head::channels * l.value_width / 8, lane = thread_index() % warp_size;
  if (item.end - item.begin < heads_rows) {
    for (int i = lane; i < (item.end - item.begin) * bytes; i += warp_size) {
      const int t = item.begin % heads_rows + i / bytes, byte = i % bytes;
      rows[byte * 16 + value_slot(t)] = codes[t * Head::codes_pitch + byte];
    }
    return;
  }
  for (int byte = lane; byte < bytes; byte += warp_size) {
    Vector16 v{};
    PLANISH_UNROLL
    for (int t = 0; t < heads_rows; ++t)
      v.words[value_slot(t) / 4] |= std::uint32_t{codes[t * Head::codes_pitch + byte]} << (value_slot(t) % 4 * 8);
    *reinterpret_cast<Vector16*>(rows + byte * 16) = v;
  }
}

/// Keys or values of a head to their codes. `codes`: room of this warp.
template <class Head>
PLANISH_DEVICE void code_rows_of_head(const AppendHeadsArguments& a, const HeadsItem& item, bool transformed, int page,
                                      std::uint8_t* codes, Head& head) noexcept {
  const CacheLayout& l = a.cache.layout;
  const bool is_value = item.role == HeadsItem::Role::value;
  const int bits = is_value ? l.value_bits : l.key_bits, width = is_value ? l.value_width : l.key_width;
  std::uint8_t* const to = a.cache.head(page, item.head);
  PLANISH_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int row = thread_index() % warp_size / 4 + 8 * half, slot = item.position_of(row) % cache_page;
    RangeBits range;
    PLANISH_UNROLL
    for (int m = 0; m < Head::chunks; ++m) PLANISH_UNROLL
    for (int i = 0; i < 8; i += 2) range.add(head.value(half, m, i), head.value(half, m, i + 1));
    PLANISH_UNROLL
    for (int mask = 2; mask > 0; mask /= 2)
      range.join(static_cast<std::uint32_t>(shuffle_xor(static_cast<int>(range.highest), mask)),
                 static_cast<std::uint32_t>(shuffle_xor(static_cast<int>(range.lowest), mask)));
    const RowCoder coder =
        RowCoder::make(range.values(), range.finite(),
                       {.bits = bits, .symmetry = Symmetry::asymmetric, .clip = is_value ? a.value_clip : a.key_clip});
    const int offset = coder.usable ? 1 << (bits - 1) : 0;
    PLANISH_UNROLL
    for (int m = 0; m < Head::chunks; ++m) {
      std::uint32_t eight[8];
      PLANISH_UNROLL
      for (int i = 0; i < 8; ++i) {
        const float value = head.value(half, m, i);
        const std::uint32_t code = coder.code(coder.shifted ? coder.shifted_value(value) : value);
        eight[i] = coder.usable ? (code + static_cast<std::uint32_t>(offset)) & 255u : 0u;
      }
      const int byte = Head::first_channel(m, transformed) * width / 8;
      if (is_value)
        store_eight(codes + row * Head::codes_pitch + byte, packed_eight(eight, width), width);
      else if (item.has(row))
        store_eight(to + (slot / 8 * l.key_pieces + byte / 16) * cache_line_bytes + slot % 8 * 16 + byte % 16,
                    packed_eight(eight, width), width);
    }
    if (thread_index() % 4 != 0 || !item.has(row)) continue;
    *reinterpret_cast<float*>(to + (is_value ? value_scale_place(l, slot) : key_scale_place(l, slot))) =
        coder.affine.scale;
    to[is_value ? value_zero_place(l, slot) : key_zero_place(l, slot)] =
        static_cast<std::uint8_t>(coder.affine.zero_point + offset);
    if (a.bad_rows != nullptr && !coder.usable) (void)atomic_add(a.bad_rows, 1);
  }
  if (!is_value) return;
  warp_barrier();
  store_packed_values<Head>(
      l, to + l.key_bytes() + item.begin % cache_page / heads_rows * l.value_lines * cache_line_bytes, codes, item);
  warp_barrier();
}

/// Blocks that stay. In every turn all warps together have neighbouring items, and a warp another third of the heads
/// than before: queries, keys and values are not the same work.
template <class Head>
PLANISH_KERNEL(heads_of_warps_threads, 2)
append_heads_of_warps(AppendHeadsArguments a, AppendHeadsSharing s) {
  unsigned char* const query_factor = shared_memory();
  const bool alike = a.keys.right == a.queries.right;
  unsigned char* const key_factor = query_factor + (alike ? 0 : Head::factor_bytes);
  if (a.queries.right != nullptr) spread_head_factor<Head>(a.queries.right, query_factor);
  if (a.keys.right != nullptr && !alike) spread_head_factor<Head>(a.keys.right, key_factor);
  const int warp = thread_index() / warp_size, warps = block_count() * heads_of_warps;
  std::uint8_t* const codes = query_factor + 2 * Head::factor_bytes + warp * Head::codes_bytes;
  const int third = (s.query_heads + 2 * a.cache.layout.kv_heads) / 24 * 8;
  const auto item_of = [&](std::int64_t turn) {
    const std::int64_t i = turn * warps + (block_index() * heads_of_warps + warp + turn * third) % warps;
    return i < s.items ? static_cast<int>(i) : -1;
  };
  block_barrier();
  wait_for_kernel_before();  // all but x is older
  let_next_kernel_start();
  PLANISH_NO_UNROLL
  for (std::int64_t turn = 0; turn * warps < s.items; ++turn) {
    const int i = item_of(turn);
    if (i < 0) continue;
    const HeadsItem item = head_of_tokens(a, s, i);
    const bool stores = item.role != HeadsItem::Role::query;
    int page = 0;
    if (item.begin >= item.end) continue;
    if (stores) {
      if (item.begin / cache_page >= a.cache.table_stride) continue;
      page = a.cache.table[std::int64_t{item.sequence} * a.cache.table_stride + item.begin / cache_page];
    }
    const int column = i % (s.query_heads + 2 * a.cache.layout.kv_heads) * Head::channels;
    Head head{};
    load_rows_of_head(a, item, column, head);
    const unsigned char* factor = nullptr;
    if (item.role != HeadsItem::Role::value) {
      turn_rows_of_head(a, item, column, head);
      if (stores ? a.keys.right != nullptr : a.queries.right != nullptr) factor = stores ? key_factor : query_factor;
    }
    transform_rows_of_head(factor, head);
    if (stores)
      code_rows_of_head(a, item, factor != nullptr, page, codes, head);
    else
      store_rows_of_head(a, item, factor != nullptr, head);
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
