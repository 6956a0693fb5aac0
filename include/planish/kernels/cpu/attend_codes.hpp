#pragma once
// Register tiles of attention straight from codes, for so few lines that spreading a page first would not pay: one line
// of codes at a time is turned into floats in registers and meets all query lines. The same sums in the same order as
// attend_tiles.hpp.
#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/attend_tiles.hpp>
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
};

namespace detail {

/// Blocks of lanes that a tile reads side by side.
inline constexpr int tile_blocks = 4;

/// sums[line][block] += Σ factors[line][step] · codes[step][block], steps rising, over `lines` lines of codes that lie
/// `line_bytes` apart.
template <int Lines, int Blocks, int Width>
PLANISH_ALWAYS_INLINE void add_codes(const CodePage& page, index first_byte, index line_bytes, index lines,
                                     const float* factors, index factor_stride,
                                     FloatBatch (&sums)[Lines][Blocks]) noexcept {
  const CodeFloats<Width> reader(page.bits);
  for (index line = 0; line < lines; ++line) {
    IntBatch words[Blocks];
    unroll<Blocks>([&](auto b) __attribute__((always_inline)) {
      const index at = first_byte + line * line_bytes + b * code_line_bytes;
      words[b] = code_words(page.codes + at, 0);
      __builtin_prefetch(page.next + at);
    });
    const float* const factor = factors + line * line_steps(Width);
    unroll<CodeFloats<Width>::steps>([&](auto step) __attribute__((always_inline)) {
      FloatBatch code[Blocks];
      unroll<Blocks>([&](auto b) __attribute__((always_inline)) {
        code[b] = reader.template floats<decltype(step)::value>(words[b]);
      });
      unroll<Lines>([&](auto l) __attribute__((always_inline)) {
        const FloatBatch f(factor[l * factor_stride + step]);
        unroll<Blocks>([&](auto b)
                           __attribute__((always_inline)) { sums[l][b] = multiply_add(f, code[b], sums[l][b]); });
      });
    });
  }
}

template <int Lines, int Width>
inline void score_codes(const QueryLines& lines, index head_size, const CodePage& page, const FinishScores& finish,
                        float* scores) noexcept {
  static_assert(page_tokens == tile_blocks * block_lanes);
  FloatBatch sums[Lines][tile_blocks];
  unroll<Lines>([&](auto l) __attribute__((always_inline)) {
    unroll<tile_blocks>([&](auto b) __attribute__((always_inline)) { sums[l][b] = FloatBatch(0.0f); });
  });
  add_codes<Lines, tile_blocks, Width>(page, 0, tile_blocks * code_line_bytes, code_lines(head_size, Width),
                                       lines.query, lines.stride, sums);
  unroll<Lines>([&](auto l) __attribute__((always_inline)) {
    unroll<tile_blocks>([&](auto b) __attribute__((always_inline)) {
      finish(sums[l][b], lines.sums[l], b * float_lanes).store_unaligned(scores + l * page_tokens + b * float_lanes);
    });
  });
}

template <int Lines, int Blocks, int Width>
PLANISH_ALWAYS_INLINE void add_value_blocks(const float* w, index count, const float* decay, const float* correction,
                                            const CodePage& page, index stride, index first, float* totals) noexcept {
  FloatBatch sums[Lines][Blocks];
  unroll<Lines>([&](auto l) __attribute__((always_inline)) {
    unroll<Blocks>([&](auto b) __attribute__((always_inline)) {
      sums[l][b] = multiply_add(FloatBatch::load_unaligned(totals + l * stride + first + b * float_lanes),
                                FloatBatch(decay[l]), FloatBatch(-correction[l]));
    });
  });
  add_codes<Lines, Blocks, Width>(page, first / block_lanes * code_line_bytes,
                                  stride / block_lanes * code_line_bytes, code_lines(count, Width), w, page_tokens,
                                  sums);
  unroll<Lines>([&](auto l) __attribute__((always_inline)) {
    unroll<Blocks>([&](auto b) __attribute__((always_inline)) {
      sums[l][b].store_unaligned(totals + l * stride + first + b * float_lanes);
    });
  });
}

template <int Lines, int Width>
inline void add_value_codes(const float* w, index count, const float* decay, const float* correction,
                            const CodePage& page, index stride, float* totals) noexcept {
  constexpr index wide = tile_blocks * block_lanes;
  index first = 0;
  for (; first + wide <= stride; first += wide)
    add_value_blocks<Lines, tile_blocks, Width>(w, count, decay, correction, page, stride, first, totals);
  if (first == stride) return;
  with_constant<tile_blocks - 1>(
      static_cast<int>((stride - first) / block_lanes), [&](auto blocks) __attribute__((always_inline)) {
        add_value_blocks<Lines, blocks, Width>(w, count, decay, correction, page, stride, first, totals);
      });
}

}  // namespace detail

/// `score_tile` over the codes of a page that holds no floats. Queries are padded with zeros to whole lines of codes.
template <int Lines>
inline void score_codes(const QueryLines& lines, index head_size, const CodePage& page, const FinishScores& finish,
                        float* scores) noexcept {
  switch (kv_code_width(page.bits)) {
    case 2:
      return detail::score_codes<Lines, 2>(lines, head_size, page, finish, scores);
    case 4:
      return detail::score_codes<Lines, 4>(lines, head_size, page, finish, scores);
    default:
      return detail::score_codes<Lines, 8>(lines, head_size, page, finish, scores);
  }
}

/// `add_values` over the codes of a page that holds no floats; weights are 0 from each line's count on, and `count` is
/// the largest of them.
template <int Lines>
inline void add_value_codes(const float* w, index count, const float* decay, const float* correction,
                            const CodePage& page, index stride, float* totals) noexcept {
  switch (kv_code_width(page.bits)) {
    case 2:
      return detail::add_value_codes<Lines, 2>(w, count, decay, correction, page, stride, totals);
    case 4:
      return detail::add_value_codes<Lines, 4>(w, count, decay, correction, page, stride, totals);
    default:
      return detail::add_value_codes<Lines, 8>(w, count, decay, correction, page, stride, totals);
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
