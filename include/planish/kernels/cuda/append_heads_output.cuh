#pragma once
// From a warp's sums over heads to rows of queries, or to codes in the pages of a batch.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/append_heads.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// A warp's sums to the rows of q.
template <class E, int Channels>
PLANISH_DEVICE void store_query_rows(const AppendHeadsArguments& a, const HeadsItem& item,
                                     const HeadsColumns<Channels>& columns,
                                     const float (&sums)[2 * HeadsColumns<Channels>::most][4]) noexcept {
  const int size = a.cache.layout.head_size;
  // Four products of eight that lie together give a lane eight neighbouring columns.
  const bool neighbours = HeadsColumns<Channels>::most == 2 && columns.count == 2 && columns.all % 4 == 0;
  PLANISH_UNROLL
  for (int h = 0; h < 2; ++h) {
    const int row = thread_index() % warp_size / 4 + 8 * h;
    if (!item.has(row)) continue;
    E* const to = static_cast<E*>(a.q) + item.row_of(row) * a.q_stride + std::int64_t{item.head_of(row)} * size;
    std::uint32_t pairs[2 * HeadsColumns<Channels>::most];
    PLANISH_UNROLL
    for (int tile = 0; tile < 2 * HeadsColumns<Channels>::most; ++tile)
      pairs[tile] = round_pair(E{}, sums[tile][2 * h], sums[tile][2 * h + 1]);
    if (neighbours) {
      *reinterpret_cast<Vector16*>(to + columns.column(0)) = Vector16{{pairs[0], pairs[1], pairs[2], pairs[3]}};
      continue;
    }
    PLANISH_UNROLL
    for (int tile = 0; tile < 2 * HeadsColumns<Channels>::most; ++tile)
      if (tile < 2 * columns.count) *reinterpret_cast<std::uint32_t*>(to + columns.column(tile)) = pairs[tile];
  }
}

/// The sums of all warps to codes in shared memory, a byte each; scales and zero points to their places.
template <int Channels>
PLANISH_DEVICE void code_heads(const AppendHeadsArguments& a, const HeadsItem& item,
                               const HeadsColumns<Channels>& columns,
                               const float (&sums)[2 * HeadsColumns<Channels>::most][4], int page, std::uint8_t* codes,
                               RangeSoFar* meeting) noexcept {
  const CacheLayout& l = a.cache.layout;
  const bool is_value = item.role == HeadsItem::Role::value;
  const int lane = thread_index() % warp_size, warp = thread_index() / warp_size;
  const int bits = is_value ? l.value_bits : l.key_bits;
  PLANISH_UNROLL
  for (int h = 0; h < 2; ++h) {
    RangeSoFar range;
    PLANISH_UNROLL
    for (int tile = 0; tile < 2 * HeadsColumns<Channels>::most; ++tile) PLANISH_UNROLL
    for (int r = 0; r < 2; ++r)
      if (tile < 2 * columns.count) range.add(sums[tile][2 * h + r]);
    PLANISH_UNROLL
    for (int mask = 2; mask > 0; mask /= 2)
      range.join({shuffle_xor(range.lowest, mask), shuffle_xor(range.highest, mask)});
    if (lane % 4 == 0) meeting[warp * heads_rows + lane / 4 + 8 * h] = range;
  }
  block_barrier();
  PLANISH_UNROLL
  for (int h = 0; h < 2; ++h) {
    const int row = lane / 4 + 8 * h;
    RangeSoFar range = meeting[row];
    PLANISH_UNROLL
    for (int i = 1; i < heads_warps; ++i) range.join(meeting[i * heads_rows + row]);
    const RowCoder coder =
        RowCoder::make({range.lowest, range.highest}, range.finite(),
                       {.bits = bits, .symmetry = Symmetry::asymmetric, .clip = is_value ? a.value_clip : a.key_clip});
    const int offset = coder.usable ? 1 << (bits - 1) : 0;
    const auto code = [&](float value) -> std::uint32_t {
      if (!coder.usable) return 0;
      return (coder.code(coder.shifted ? coder.shifted_value(value) : value) + static_cast<std::uint32_t>(offset)) &
             255u;
    };
    PLANISH_UNROLL
    for (int tile = 0; tile < 2 * HeadsColumns<Channels>::most; ++tile)
      if (tile < 2 * columns.count)
        *reinterpret_cast<std::uint16_t*>(codes + row * append_stride + columns.column(tile)) =
            static_cast<std::uint16_t>(code(sums[tile][2 * h]) | code(sums[tile][2 * h + 1]) << 8);
    if (warp != 0 || lane % 4 != 0 || !item.has(row)) continue;
    const int slot = item.position_of(row) % cache_page;
    std::uint8_t* const head = a.cache.head(page, item.head_of(row));
    *reinterpret_cast<float*>(head + (is_value ? value_scale_place(l, slot) : key_scale_place(l, slot))) =
        coder.affine.scale;
    head[is_value ? value_zero_place(l, slot) : key_zero_place(l, slot)] =
        static_cast<std::uint8_t>(coder.affine.zero_point + offset);
    if (a.bad_rows != nullptr && !coder.usable) (void)atomic_add(a.bad_rows, 1);
  }
  block_barrier();
}

/// Codes of `heads` heads of one token, row by row, to its place in their pages.
PLANISH_DEVICE void store_token_codes(const CachePages& cache, int page, const HeadsItem& item,
                                      const std::uint8_t* codes) noexcept {
  const CacheLayout& l = cache.layout;
  const int slot = item.begin % cache_page;
  if (item.role == HeadsItem::Role::key) {
    for (int i = thread_index(); i < item.heads * l.key_pieces; i += heads_threads) {
      const int row = i / l.key_pieces, piece = i % l.key_pieces;
      Vector16 v{};
      PLANISH_UNROLL
      for (int j = 0; j < 16; ++j)
        v.words[j / 4] |= packed_byte(codes + row * append_stride, piece * 16 + j, l.key_width) << (j % 4 * 8);
      *reinterpret_cast<Vector16*>(cache.head(page, item.head + row) +
                                   (slot / 8 * l.key_pieces + piece) * cache_line_bytes + slot % 8 * 16) = v;
    }
    return;
  }
  const int bytes = l.value_lines * 8;
  for (int i = thread_index(); i < item.heads * bytes; i += heads_threads) {
    const int row = i / bytes, byte = i % bytes;
    std::uint8_t* const rows =
        cache.head(page, item.head + row) + l.key_bytes() + slot / 16 * l.value_lines * cache_line_bytes;
    rows[byte * 16 + value_slot(slot)] =
        static_cast<std::uint8_t>(packed_byte(codes + row * append_stride, byte, l.value_width));
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
