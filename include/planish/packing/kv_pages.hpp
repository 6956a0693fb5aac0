#pragma once
// How one attention layer's keys and values lie in memory: pages of 64 tokens of one KV head. An engine that owns its
// memory builds these structs over it; KvCache builds them over its own.
#include <algorithm>
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI {

/// Tokens of a page. Page p of a head holds tokens [64 p, 64 p + 64); attention reads a page at a time.
inline constexpr index page_tokens = 64;

/// Bits that a code takes in memory: 3 bits lie in nibbles, 5 to 7 in bytes. 16 stands for float32.
[[nodiscard]] constexpr int kv_code_width(int bits) noexcept { return bits <= 2 ? 2 : bits <= 4 ? 4 : 8; }

/// Codes of a page form a matrix of lanes × steps. Sixteen neighbouring lanes are a block; a block's next `line_steps`
/// codes of every lane are a line of 64 bytes, 32 bits per lane: step s of a line is in byte s % 4 of the lane's word,
/// at bit (s / 4) · width. So a lane of 32 bits meets one step after another by a shift, and four neighbouring steps
/// lie in the four bytes that an integer dot product adds up. Lines of the same steps follow one another, block by
/// block.
inline constexpr index block_lanes = 16, code_line_bytes = 64;

/// Codes of one lane in a line.
[[nodiscard]] constexpr index line_steps(int width) noexcept { return 32 / width; }
/// Lines of a block that has so many steps; what is beyond the last step is 0.
[[nodiscard]] constexpr index code_lines(index steps, int width) noexcept {
  return divide_up(steps, line_steps(width));
}
[[nodiscard]] constexpr index lane_blocks(index lanes) noexcept { return divide_up(lanes, block_lanes); }

/// Where a code is: in which byte of the page, from which bit on.
struct CodePlace {
  index byte;
  int bit;
};
[[nodiscard]] PLANISH_ALWAYS_INLINE constexpr CodePlace code_place(index lane, index step, index blocks,
                                                                   int width) noexcept {
  const index line = step / line_steps(width), in_line = step % line_steps(width);
  return {(line * blocks + lane / block_lanes) * code_line_bytes + lane % block_lanes * 4 + in_line % 4,
          static_cast<int>(in_line / 4) * width};
}

/// Integers on which attention computes: code − code_centre(bits) is a signed number of that many bits.
[[nodiscard]] constexpr int code_centre(int bits) noexcept { return 1 << (bits - 1); }

/// Floats between two tokens of a float value page: whole cache lines, the padding is zero.
[[nodiscard]] constexpr index value_stride(index head_size) noexcept { return lane_blocks(head_size) * block_lanes; }

/// One page of keys or of values. Tokens below `float_tokens` are read from `values`, the others from codes.
///   keys:   values [head_size][64]; codes: lanes are the 64 tokens, steps the channels
///   values: values [64][value_stride(head_size)]; codes: lanes are the channels, steps the 64 tokens
/// and scales [64], zero points [64]: value = (code − zero point) · scale. A token that held NaN or infinity has NaN as
/// its scale (or as all its floats).
struct KvPage {
  float* values;              ///< null if float_tokens == 0
  std::uint8_t* codes;        ///< null if float_tokens == 64, as are the next two
  float* scales;              ///< [64]
  std::uint8_t* zero_points;  ///< [64]
  index float_tokens;         ///< in [0, 64]
};

/// All pages of the keys, or of the values, of one layer. Either a page table of the host's, or arrays in which the
/// pages of head h are [h · pages_per_head, (h + 1) · pages_per_head).
struct KvPages {
  index head_size = 0;
  int bits = 16;  ///< 2 to 8; 16: float32
  ClipPair clip{};
  index pages_per_head = 0;
  index float_tokens = 0;          ///< the first tokens of the sequence, kept as float32 (everything if bits == 16)
  index float_pages_per_head = 0;  ///< pages that have floats
  index float_page_size = 0;       ///< floats in one page
  index code_page_size = 0;        ///< bytes of codes in one page
  float* values = nullptr;         ///< [heads][float_pages_per_head][float_page_size]
  std::uint8_t* codes = nullptr;   ///< [heads][pages_per_head][code_page_size]
  float* scales = nullptr;         ///< [heads][pages_per_head][64]
  std::uint8_t* zero_points = nullptr;  ///< [heads][pages_per_head][64]
  const KvPage* table = nullptr;        ///< [heads][pages_per_head], or null: use the arrays above

  [[nodiscard]] PLANISH_ALWAYS_INLINE KvPage page(index head, index p) const noexcept {
    const index i = head * pages_per_head + p;
    if (table != nullptr) return table[i];
    KvPage page{};
    page.float_tokens = std::clamp<index>(bits == 16 ? page_tokens : float_tokens - p * page_tokens, 0, page_tokens);
    if (page.float_tokens > 0) page.values = values + (head * float_pages_per_head + p) * float_page_size;
    if (page.float_tokens < page_tokens) {
      page.codes = codes + i * code_page_size;
      page.scales = scales + i * page_tokens;
      page.zero_points = zero_points + i * page_tokens;
    }
    return page;
  }
};

/// Floats of one page of keys.
[[nodiscard]] constexpr index key_page_floats(index head_size) noexcept { return head_size * page_tokens; }
/// Bytes of the codes of one page of keys.
[[nodiscard]] constexpr index key_page_bytes(index head_size, int bits) noexcept {
  return code_lines(head_size, kv_code_width(bits)) * lane_blocks(page_tokens) * code_line_bytes;
}

/// Floats of one page of values.
[[nodiscard]] constexpr index value_page_floats(index head_size) noexcept {
  return page_tokens * value_stride(head_size);
}
/// Bytes of the codes of one page of values.
[[nodiscard]] constexpr index value_page_bytes(index head_size, int bits) noexcept {
  return code_lines(page_tokens, kv_code_width(bits)) * lane_blocks(head_size) * code_line_bytes;
}

}  // namespace planish::inline PLANISH_ABI
