#pragma once
// Register tiles of attention straight from codes, for so few lines that spreading a page first would not pay: one line
// of codes at a time is turned into floats in registers and meets all query lines. The same sums in the same order as
// attend_tiles.hpp.
#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/attend_tiles.hpp>
#include <planish/kernels/cpu/isa/add_product.hpp>
#include <planish/kernels/cpu/page_codes.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/packing/kv_pages.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Codes enter the tiles directly where a block of lanes is one register.
inline constexpr bool attends_to_codes = float_lanes == block_lanes;

/// The codes of one page, and those that are read next: they are fetched meanwhile.
struct CodePage {
  const std::uint8_t* codes;
  const std::uint8_t* next;
  int bits;
  int width;  // bits that a code takes here
};

namespace detail {

/// Blocks of lanes that a tile reads side by side.
inline constexpr int tile_blocks = 4;

/// sums[line][block] += Σ factors[line][step] · codes[step][block], steps rising, over `lines` lines of codes that lie
/// `line_bytes` apart.
template <int Lines, int Blocks, class Codes>
PLANISH_ALWAYS_INLINE void add_codes(const Codes& reader, const CodePage& page, index first_byte, index line_bytes,
                                     index lines, const float* factors, index factor_stride,
                                     FloatBatch (&sums)[Lines][Blocks]) noexcept {
  for (index line = 0; line < lines; ++line) {
    IntBatch words[Blocks];
    unroll<Blocks>([&](auto b) __attribute__((always_inline)) {
      const index at = first_byte + line * line_bytes + b * code_line_bytes;
      words[b] = code_words(page.codes + at);
      __builtin_prefetch(page.next + at, 0, 1);
    });
    for (int four = 0; four < Codes::fours; ++four, factors += 4) {
      unroll<4>([&](auto step) __attribute__((always_inline)) {
        FloatBatch code[Blocks];
        unroll<Blocks>([&](auto b) __attribute__((always_inline)) {
          code[b] = reader.template floats<decltype(step)::value>(words[b]);
        });
        unroll<Lines>([&](auto l) __attribute__((always_inline)) {
          const FloatBatch factor(factors[l * factor_stride + step]);
          unroll<Blocks>([&](auto b) __attribute__((always_inline)) { add_product(sums[l][b], factor, code[b]); });
        });
      });
      unroll<Blocks>([&](auto b) __attribute__((always_inline)) { words[b] = reader.next_four(words[b]); });
    }
  }
}

template <int Lines, int Blocks, class Codes>
PLANISH_ALWAYS_INLINE void add_value_blocks(const Codes& reader, const float* w, index count, const float* decay,
                                            const float* correction, const CodePage& page, index stride, index first,
                                            float* totals) noexcept {
  FloatBatch sums[Lines][Blocks];
  unroll<Lines>([&](auto l) __attribute__((always_inline)) {
    unroll<Blocks>([&](auto b) __attribute__((always_inline)) {
      sums[l][b] = multiply_add(FloatBatch::load_unaligned(totals + l * stride + first + b * float_lanes),
                                FloatBatch(decay[l]), FloatBatch(-correction[l]));
    });
  });
  add_codes(reader, page, first / block_lanes * code_line_bytes, stride / block_lanes * code_line_bytes,
            code_lines(count, kv_code_width(page.bits)), w, page_tokens, sums);
  unroll<Lines>([&](auto l) __attribute__((always_inline)) {
    unroll<Blocks>([&](auto b) __attribute__((always_inline)) {
      sums[l][b].store_unaligned(totals + l * stride + first + b * float_lanes);
    });
  });
}

}  // namespace detail

/// `score_tile` over the codes of a page that holds no floats. Queries are padded with zeros to whole lines of codes.
template <int Lines>
inline void score_codes(const QueryLines& lines, index head_size, const CodePage& page, float* dots) noexcept {
  constexpr int blocks = detail::tile_blocks;
  static_assert(page_tokens == blocks * block_lanes);
  with_codes(page.bits, [&](const auto& reader) {
    FloatBatch sums[Lines][blocks];
    unroll<Lines>([&](auto l) __attribute__((always_inline)) {
      unroll<blocks>([&](auto b) __attribute__((always_inline)) { sums[l][b] = FloatBatch(0.0f); });
    });
    detail::add_codes(reader, page, 0, blocks * code_line_bytes, code_lines(head_size, kv_code_width(page.bits)),
                      lines.query, lines.stride, sums);
    unroll<Lines>([&](auto l) __attribute__((always_inline)) {
      unroll<blocks>([&](auto b) __attribute__((always_inline)) {
        sums[l][b].store_unaligned(dots + l * page_tokens + b * float_lanes);
      });
    });
  });
}

/// `add_values` over the codes of a page that holds no floats; weights are 0 from each line's count on, and `count` is
/// the largest of them.
template <int Lines>
inline void add_value_codes(const float* w, index count, const float* decay, const float* correction,
                            const CodePage& page, index stride, float* totals) noexcept {
  constexpr index wide = detail::tile_blocks * block_lanes;
  with_codes(page.bits, [&](const auto& reader) {
    index first = 0;
    for (; first + wide <= stride; first += wide)
      detail::add_value_blocks<Lines, detail::tile_blocks>(reader, w, count, decay, correction, page, stride, first,
                                                           totals);
    for (; first < stride; first += block_lanes)
      detail::add_value_blocks<Lines, 1>(reader, w, count, decay, correction, page, stride, first, totals);
  });
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
