#pragma once
// How one attention layer's keys and values lie in memory: pages of 64 tokens of one KV head. An engine that owns its
// memory builds these structs over it; KvCache builds them over its own.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI {

/// Tokens of a page. Page p of a head holds tokens [64 p, 64 p + 64); attention reads a page at a time.
inline constexpr index page_tokens = 64;

/// Bits that a code takes in memory: 3 bits lie in nibbles, 5 to 7 in bytes. 16 stands for float32.
[[nodiscard]] constexpr int kv_code_width(int bits) noexcept { return bits <= 2 ? 2 : bits <= 4 ? 4 : 8; }

/// A run of `count` codes of `width` bits is split into 8 / width equal parts that lie over one another: code e is in
/// byte e % part, at bit (e / part) · width, where part = `run_bytes`. So the codes of neighbours are unpacked by one
/// shift and one mask.
[[nodiscard]] constexpr index run_bytes(index count, int width) noexcept {
  const index parts = 8 / width;
  return (count + parts - 1) / parts;
}

/// Code e of a run; part = run_bytes(count, width). Unsigned.
[[nodiscard]] PLANISH_ALWAYS_INLINE int run_code(const std::uint8_t* run, index part, int width, index e) noexcept {
  return (run[e % part] >> (e / part * width)) & ((1 << width) - 1);
}

/// Writes code e of a run and leaves its neighbours.
PLANISH_ALWAYS_INLINE void set_run_code(std::uint8_t* run, index part, int width, index e, int code) noexcept {
  const auto shift = static_cast<int>(e / part * width);
  const int kept = run[e % part] & ~(((1 << width) - 1) << shift);
  run[e % part] = static_cast<std::uint8_t>(kept | (code << shift));
}

/// Floats between two tokens of a float value page: whole cache lines, the padding is zero.
[[nodiscard]] constexpr index value_stride(index head_size) noexcept { return (head_size + 15) / 16 * 16; }

/// One page of keys or of values. Tokens below `float_tokens` are read from `values`, the others from codes.
///   keys:   values [head_size][64], codes [head_size] runs of 64 (so that SIMD lanes are tokens)
///   values: values [64][value_stride(head_size)], codes [64] runs of head_size (so that SIMD lanes are channels)
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
    const index kept = bits == 16 ? page_tokens : float_tokens - p * page_tokens;
    KvPage page{};
    page.float_tokens = kept < 0 ? 0 : kept > page_tokens ? page_tokens : kept;
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
  return head_size * run_bytes(page_tokens, kv_code_width(bits));
}

/// Floats of one page of values.
[[nodiscard]] constexpr index value_page_floats(index head_size) noexcept {
  return page_tokens * value_stride(head_size);
}
/// Bytes of the codes of one page of values.
[[nodiscard]] constexpr index value_page_bytes(index head_size, int bits) noexcept {
  return page_tokens * run_bytes(head_size, kv_code_width(bits));
}

}  // namespace planish::inline PLANISH_ABI
