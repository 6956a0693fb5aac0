#pragma once
// How the keys and values of one attention layer lie on a device: numbered pages of 64 tokens and all KV heads, dealt
// to sequences by a table. Everything is read in whole lines of 128 bytes, as the matrix products of decoding want it.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/core/scheme.hpp>
#include <planish/kernels/cuda/matrix_fragments.cuh>
#include <planish/kernels/cuda/warp.cuh>
#include <planish/packing/kv_pages.hpp>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// What is known of a cache before its data. Codes are asymmetric, one scale and zero point per token and KV head, all
/// equal to the CPU's to the bit (kernels/reference/cache_rows.hpp).
struct CacheShape {
  int kv_heads = 0;
  int head_size = 0;                 // a multiple of 16, at most 256
  int key_bits = 4, value_bits = 4;  // 2 to 8
};

inline constexpr int cache_page = 64;  // tokens; that of the CPU
inline constexpr int most_head_size = 256;
inline constexpr int cache_line_bytes = 128;
inline constexpr int cache_side_bytes = cache_page * 10;  // scales and zero points of a page and head

/// Where things are inside a page. The part of a KV head is, in bytes,
///   key codes    [8 groups of 8 tokens][key_pieces][8 tokens][16]: a token's row of packed codes in order of channels,
///                first channel lowest, cut into pieces of 16 bytes; what is beyond the last channel is 0
///   value codes  [4 groups of 16 tokens][value_lines][8 bytes of channels][16 tokens]: the same packed row, of which
///                every byte lies beside those of the group's other tokens, token t at `value_slot(t)`
///   key scales, value scales  float32 [64] each, token t at `side_slot(t)`
///   key zero points           bytes [64], token t at `side_slot(t)`
///   value zero points         bytes [4][16], token t of 16 at `value_slot(t)`
/// so that a lane of a matrix product finds its four bytes of a line at 4 · lane, keys and values alike. No byte
/// belongs to two tokens. Codes of 3 bits lie in nibbles, of 5 to 7 in bytes, as on the CPU.
struct CacheLayout {
  int kv_heads = 0, head_size = 0;
  int key_bits = 0, value_bits = 0, key_width = 0, value_width = 0;
  int key_pieces = 0;   // 16 bytes of a token
  int value_lines = 0;  // 128 bytes of 16 tokens

  [[nodiscard]] PLANISH_HOST_DEVICE constexpr int key_bytes() const noexcept { return key_pieces * 1024; }
  [[nodiscard]] PLANISH_HOST_DEVICE constexpr int value_bytes() const noexcept { return value_lines * 512; }
  [[nodiscard]] PLANISH_HOST_DEVICE constexpr int side_offset() const noexcept { return key_bytes() + value_bytes(); }
  [[nodiscard]] PLANISH_HOST_DEVICE constexpr int head_bytes() const noexcept {
    return side_offset() + cache_side_bytes;
  }
  /// Bytes of a page of all heads, a multiple of 128.
  [[nodiscard]] PLANISH_HOST_DEVICE constexpr std::int64_t page_bytes() const noexcept {
    return std::int64_t{kv_heads} * head_bytes();
  }
  friend constexpr bool operator==(const CacheLayout&, const CacheLayout&) = default;
};

/// The pages and who has them; every pointer is of device memory.
struct CachePages {
  CacheLayout layout;
  std::uint8_t* pages = nullptr;  // [pages][layout.page_bytes()], on a multiple of 128 bytes, as they come
  const std::int32_t* table =
      nullptr;  // [sequences][table_stride]: page p of a sequence holds tokens [64 p, 64 p + 64)
  int table_stride = 0;
  const std::int32_t* lengths = nullptr;  // [sequences]: tokens, those of the running step included

  /// The part of a KV head in page `page` of the pool.
  [[nodiscard]] PLANISH_HOST_DEVICE std::uint8_t* head(int page, int kv_head) const noexcept {
    return pages + page * layout.page_bytes() + std::int64_t{kv_head} * layout.head_bytes();
  }
};

/// Position of token t % 16 in the rows of value codes and zero points: the four of a lane are neighbours.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int value_slot(int t) noexcept {
  return t % 8 / 2 * 4 + t % 16 / 8 + t % 2 * 2;
}
/// Position of token t of a page in scales and key zero points: the eight of a lane are neighbours.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int side_slot(int t) noexcept { return t % 8 * 8 + t / 8; }

/// Codes of a byte are 2^field_shift: no division where widths are known at run time only.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int field_shift(int width) noexcept {
  return width == 8 ? 0 : width == 4 ? 1 : 2;
}
/// Lowest bit of a channel's code in its byte.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int code_shift(int width, int channel) noexcept {
  return (channel & ((1 << field_shift(width)) - 1)) * width;
}

/// The code of a channel of the key of token t of a page.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr UnitPosition key_place(const CacheLayout& l, int t, int channel) noexcept {
  const int byte = channel >> field_shift(l.key_width);
  return {(t / 8 * l.key_pieces + byte / 16) * cache_line_bytes + t % 8 * 16 + byte % 16,
          code_shift(l.key_width, channel)};
}
/// The code of a channel of the value of token t, from the first byte of the head's part on.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr UnitPosition value_place(const CacheLayout& l, int t,
                                                                     int channel) noexcept {
  const int byte = channel >> field_shift(l.value_width);
  return {l.key_bytes() + (t / 16 * l.value_lines + byte / 8) * cache_line_bytes + byte % 8 * 16 + value_slot(t),
          code_shift(l.value_width, channel)};
}
/// Bytes from the head's part on: scales and zero points of token t.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int key_scale_place(const CacheLayout& l, int t) noexcept {
  return l.side_offset() + side_slot(t) * 4;
}
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int value_scale_place(const CacheLayout& l, int t) noexcept {
  return l.side_offset() + 256 + side_slot(t) * 4;
}
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int key_zero_place(const CacheLayout& l, int t) noexcept {
  return l.side_offset() + 512 + side_slot(t);
}
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int value_zero_place(const CacheLayout& l, int t) noexcept {
  return l.side_offset() + 576 + t / 16 * 16 + value_slot(t);
}

/// Without checks, for constants.
[[nodiscard]] constexpr CacheLayout cache_layout_of(const CacheShape& s) noexcept {
  CacheLayout l{
      s.kv_heads, s.head_size, s.key_bits, s.value_bits, kv_code_width(s.key_bits), kv_code_width(s.value_bits)};
  l.key_pieces = (s.head_size * l.key_width + 127) / 128;
  l.value_lines = (s.head_size * l.value_width + 63) / 64;
  return l;
}

/// Where a cache lies. Errors: head sizes and widths that no kernel takes.
[[nodiscard]] inline Result<CacheLayout> plan_cache(const CacheShape& s) noexcept {
  if (s.kv_heads < 1 || s.kv_heads > (1 << 12))
    return Status(ErrorCode::invalid_argument, "KV cache: kv_heads is ", s.kv_heads, ", must be in 1..4096");
  if (s.head_size < 16 || s.head_size > most_head_size || s.head_size % 16 != 0)
    return Status(ErrorCode::unsupported, "KV cache: head_size is ", s.head_size,
                  "; on a GPU it is a multiple of 16 up to ", most_head_size);
  for (const int bits : {s.key_bits, s.value_bits})
    if (!is_code_width(bits))
      return Status(ErrorCode::unsupported, "KV cache: ", bits, " bits; codes on a GPU have 2 to 8");
  return cache_layout_of(s);
}

namespace detail {
[[nodiscard]] inline Status rows_too_near(int width, std::int64_t key_stride, std::int64_t value_stride) noexcept {
  return {ErrorCode::shape_mismatch,
          "KV cache: rows of ",
          width,
          " keys and values do not lie ",
          key_stride,
          " and ",
          value_stride,
          " elements apart"};
}

/// What every kernel of a cache asks of its pages.
[[nodiscard]] inline Status check_pages(const CacheLayout& planned, const CachePages& c, int tokens) noexcept {
  if (c.layout != planned)
    return {ErrorCode::shape_mismatch, "the KV cache has ",
            c.layout.kv_heads,         " heads of ",
            c.layout.head_size,        ", the plan was made for another layout of ",
            planned.kv_heads,          " heads of ",
            planned.head_size};
  if (reinterpret_cast<std::uintptr_t>(c.pages) % cache_line_bytes != 0)
    return {ErrorCode::invalid_argument, "pages of a KV cache must lie on a multiple of 128 bytes"};
  if (c.table_stride < (tokens + cache_page - 1) / cache_page)
    return {ErrorCode::invalid_argument,
            "a page table of ",
            c.table_stride,
            " pages a sequence does not reach ",
            tokens,
            " tokens"};
  return {};
}
}  // namespace detail

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
