#pragma once
// Register tiles of q8p8 attention: integer dot products straight from the codes of a page that holds no floats. The
// integers are those of `reference::attend`, and so is every float made of them.
#include <cstdint>
#include <cstring>
#include <type_traits>

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

/// How the codes of a page lie. Tiles are compiled for each, because they need all registers for their sums.
enum class CodeForm : std::uint8_t { narrow, bytes };

/// Calls `body` with the form of the page.
template <class Body>
PLANISH_ALWAYS_INLINE void with_form(const CodePage& page, const Body& body) noexcept {
  if (page.width == 8)
    body(std::integral_constant<CodeForm, CodeForm::bytes>{});
  else
    body(std::integral_constant<CodeForm, CodeForm::narrow>{});
}

/// Calls `step(four, bytes of each block)` for every four steps of every line of codes: the steps are 4 · four and on,
/// and each lane of a vector holds their codes in its bytes, unsigned.
template <CodeForm Form, int Blocks, class Step>
PLANISH_ALWAYS_INLINE void for_each_four(const CodePage& page, index first_byte, index line_bytes, index lines,
                                         const Step& step) noexcept {
  if constexpr (Form == CodeForm::bytes) {
    const std::uint8_t *codes = page.codes + first_byte, *next = page.next + first_byte;
    for (index line = 0; line < lines; ++line, codes += line_bytes, next += line_bytes) {
      IntBatch bytes[Blocks];
      unroll<Blocks>([&](auto b) __attribute__((always_inline)) {
        bytes[b] = code_words(codes + b * code_line_bytes);
        __builtin_prefetch(next + b * code_line_bytes, 0, 1);
      });
      step(line, bytes);
    }
    return;
  }
  const int width = page.width;
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
    if (width == 2) next(std::integral_constant<int, 2>{});
    next(std::integral_constant<int, 4>{});
    if (width == 2) next(std::integral_constant<int, 6>{});
  }
}

template <CodeForm Form, int Lines, int Blocks>
[[gnu::noinline]] void add_value_integers(const PageWeights& weights, index first_line, const CodePage& page,
                                          index stride, index first, float* totals) noexcept {
  if constexpr (attends_in_integers) {
    IntBatch sums[Lines][Blocks];
    unroll<Lines>([&](auto l) __attribute__((always_inline)) {
      unroll<Blocks>([&](auto b) __attribute__((always_inline)) { sums[l][b] = IntBatch(0); });
    });
    // Codes of a byte each are turned into signed ones: less 128.
    constexpr bool wide = Form == CodeForm::bytes;
    const IntBatch flip(static_cast<std::int32_t>(0x80808080u));
    const index lines = code_lines(weights.count[first_line + Lines - 1], page.width);
    for_each_four<Form, Blocks>(
        page, first / block_lanes * code_line_bytes, stride / block_lanes * code_line_bytes,
        lines, [&](index four, IntBatch(&bytes)[Blocks]) __attribute__((always_inline)) {
          if constexpr (wide)
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

template <CodeForm Form, int Lines>
[[gnu::noinline]] void score_form(const std::int8_t* query, index query_stride, const float* query_sums,
                                  index head_size, const CodePage& page, float* dots) noexcept {
  if constexpr (attends_in_integers) {
    constexpr int blocks = tile_blocks;
    IntBatch sums[Lines][blocks];
    unroll<Lines>([&](auto l) __attribute__((always_inline)) {
      unroll<blocks>([&](auto b) __attribute__((always_inline)) { sums[l][b] = IntBatch(0); });
    });
    for_each_four<Form, blocks>(
        page, 0, blocks * code_line_bytes,
        code_lines(head_size, page.width), [&](index four, IntBatch(&bytes)[blocks]) __attribute__((always_inline)) {
          unroll<Lines>([&](auto l) __attribute__((always_inline)) {
            const IntBatch q = four_bytes(query + l * query_stride + 4 * four);
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

}  // namespace detail

/// The codes of a page, whole lines of them, as a code to a byte: in scratch that would hold them as floats, unless
/// they lie so already.
PLANISH_LAZY inline void spread_to_bytes(CodePage& page, index lines, index blocks, float* scratch) noexcept {
  if constexpr (attends_in_integers) {
    if (page.width == 8) return;
    auto* const to = reinterpret_cast<std::uint8_t*>(scratch);
    for (index b = 0; b < blocks; ++b)
      detail::for_each_four<detail::CodeForm::narrow, 1>(
          page, b * code_line_bytes, blocks * code_line_bytes,
          lines, [&](index four, IntBatch(&bytes)[1]) __attribute__((always_inline)) {
            bytes[0].store_unaligned(reinterpret_cast<std::int32_t*>(to + (four * blocks + b) * code_line_bytes));
          });
    page = {to, to, page.bits, 8};
  }
}

/// dots[line][token] = Σ code of q · e, as floats; `query_sums` are the sums of the codes of q.
template <int Lines>
inline void score_integers(const std::int8_t* query, index query_stride, const float* query_sums, index head_size,
                           const CodePage& page, float* dots) noexcept {
  detail::with_form(page, [&](auto form) {
    detail::score_form<form, Lines>(query, query_stride, query_sums, head_size, page, dots);
  });
}

/// totals[line][i] = totals[line][i] · decay + scale · Σ code of w · (e − z), for `Lines` lines from `first_line` of
/// the page's weights on.
template <int Lines>
inline void add_integers(const PageWeights& weights, index first_line, const CodePage& page, index stride,
                         float* totals) noexcept {
  constexpr index wide = detail::tile_blocks * block_lanes;
  detail::with_form(page, [&](auto form) {
    index first = 0;
    for (; first + wide <= stride; first += wide)
      detail::add_value_integers<form, Lines, detail::tile_blocks>(weights, first_line, page, stride, first, totals);
    for (; first < stride; first += block_lanes)
      detail::add_value_integers<form, Lines, 1>(weights, first_line, page, stride, first, totals);
  });
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
