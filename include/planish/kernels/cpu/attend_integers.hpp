#pragma once
// Register tiles of q8p8 attention: integer dot products straight from the codes of a page that holds no floats. The
// integers are those of `reference::attend`, and so is every float made of them.
#include <cstdint>
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/attend_codes.hpp>
#include <planish/kernels/cpu/isa/byte_dots.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/soften.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/packing/kv_pages.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// q8p8 runs on integer dot products.
inline constexpr bool attends_in_integers = attends_to_codes && has_byte_dots;

namespace detail {

[[nodiscard]] PLANISH_ALWAYS_INLINE IntBatch four_bytes(const void* bytes) noexcept {
  std::int32_t four;
  std::memcpy(&four, bytes, sizeof four);
  return IntBatch(four);
}

/// Calls `step(four, bytes of each block)` for every four steps of every line of codes: the steps are 4 · four and on,
/// and each lane of a vector holds their codes in its bytes, unsigned.
template <int Blocks, class Step>
PLANISH_ALWAYS_INLINE void for_each_four(const CodePage& page, index first_byte, index line_bytes, index lines,
                                         const Step& step) noexcept {
  const int width = kv_code_width(page.bits);
  const IntBatch mask(static_cast<std::int32_t>(0x01010101u * ((1u << width) - 1u)));
  index four = 0;
  for (index line = 0; line < lines; ++line) {
    IntBatch words[Blocks];
    unroll<Blocks>([&](auto b) __attribute__((always_inline)) {
      const index at = first_byte + line * line_bytes + b * code_line_bytes;
      words[b] = code_words(page.codes + at);
      __builtin_prefetch(page.next + at, 0, 1);
    });
    const auto next = [&](auto shift) __attribute__((always_inline)) {
      IntBatch bytes[Blocks];
      unroll<Blocks>([&](auto b) __attribute__((always_inline)) {
        if constexpr (decltype(shift)::value == 0)
          bytes[b] = words[b] & mask;
        else
          bytes[b] = (words[b] >> decltype(shift)::value) & mask;
      });
      step(four++, bytes);
    };
    next(std::integral_constant<int, 0>{});
    if (width == 8) continue;
    if (width == 2) next(std::integral_constant<int, 2>{});
    next(std::integral_constant<int, 4>{});
    if (width == 2) next(std::integral_constant<int, 6>{});
  }
}

template <int Lines, int Blocks>
PLANISH_ALWAYS_INLINE void add_value_integers(const PageWeights& weights, index first_line, const CodePage& page,
                                              index stride, index first, float* totals) noexcept {
  if constexpr (attends_in_integers) {
    IntBatch sums[Lines][Blocks];
    unroll<Lines>([&](auto l) __attribute__((always_inline)) {
      unroll<Blocks>([&](auto b) __attribute__((always_inline)) { sums[l][b] = IntBatch(0); });
    });
    // Codes of a byte are turned into signed ones: less 128.
    const bool wide = kv_code_width(page.bits) == 8;
    const IntBatch flip(static_cast<std::int32_t>(wide ? 0x80808080u : 0u));
    const index lines = code_lines(weights.count[first_line + Lines - 1], kv_code_width(page.bits));
    for_each_four<Blocks>(
        page, first / block_lanes * code_line_bytes, stride / block_lanes * code_line_bytes,
        lines, [&](index four, IntBatch(&bytes)[Blocks]) __attribute__((always_inline)) {
          unroll<Blocks>([&](auto b) __attribute__((always_inline)) { bytes[b] = bytes[b] ^ flip; });
          unroll<Lines>([&](auto l) __attribute__((always_inline)) {
            const IntBatch w = four_bytes(weights.code + (first_line + l) * page_tokens + 4 * four);
            unroll<Blocks>([&](auto b)
                               __attribute__((always_inline)) { sums[l][b] = add_byte_dots(sums[l][b], w, bytes[b]); });
          });
        });
    const int less = code_centre(page.bits) - (wide ? 128 : 0);
    unroll<Lines>([&](auto l) __attribute__((always_inline)) {
      const index line = first_line + l;
      const IntBatch centre(less * static_cast<std::int32_t>(weights.code_sum[line]));
      unroll<Blocks>([&](auto b) __attribute__((always_inline)) {
        float* const to = totals + l * stride + first + b * float_lanes;
        const FloatBatch sum = xsimd::to_float(sums[l][b] - centre) - FloatBatch(weights.correction[line]);
        const FloatBatch old =
            multiply_add(FloatBatch::load_unaligned(to), FloatBatch(weights.decay[line]), FloatBatch(0.0f));
        multiply_add(sum, FloatBatch(weights.scale[line]), old).store_unaligned(to);
      });
    });
  }
}

}  // namespace detail

/// dots[line][token] = Σ code of q · e, as floats; `query_sums` are the sums of the codes of q.
template <int Lines>
inline void score_integers(const std::int8_t* query, index query_stride, const float* query_sums, index head_size,
                           const CodePage& page, float* dots) noexcept {
  if constexpr (attends_in_integers) {
    constexpr int blocks = detail::tile_blocks;
    IntBatch sums[Lines][blocks];
    unroll<Lines>([&](auto l) __attribute__((always_inline)) {
      unroll<blocks>([&](auto b) __attribute__((always_inline)) { sums[l][b] = IntBatch(0); });
    });
    detail::for_each_four<blocks>(
        page, 0, blocks * code_line_bytes, code_lines(head_size, kv_code_width(page.bits)),
        [&](index four, IntBatch(&bytes)[blocks]) __attribute__((always_inline)) {
          unroll<Lines>([&](auto l) __attribute__((always_inline)) {
            const IntBatch q = detail::four_bytes(query + l * query_stride + 4 * four);
            unroll<blocks>([&](auto b)
                               __attribute__((always_inline)) { sums[l][b] = add_byte_dots(sums[l][b], bytes[b], q); });
          });
        });
    unroll<Lines>([&](auto l) __attribute__((always_inline)) {
      const IntBatch centre(code_centre(page.bits) * static_cast<std::int32_t>(query_sums[l]));
      unroll<blocks>([&](auto b) __attribute__((always_inline)) {
        xsimd::to_float(sums[l][b] - centre).store_unaligned(dots + l * page_tokens + b * float_lanes);
      });
    });
  }
}

/// totals[line][i] = totals[line][i] · decay + scale · Σ code of w · (e − z), for `Lines` lines from `first_line` of
/// the page's weights on.
template <int Lines>
inline void add_integers(const PageWeights& weights, index first_line, const CodePage& page, index stride,
                         float* totals) noexcept {
  constexpr index wide = detail::tile_blocks * block_lanes;
  index first = 0;
  for (; first + wide <= stride; first += wide)
    detail::add_value_integers<Lines, detail::tile_blocks>(weights, first_line, page, stride, first, totals);
  for (; first < stride; first += block_lanes)
    detail::add_value_integers<Lines, 1>(weights, first_line, page, stride, first, totals);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
