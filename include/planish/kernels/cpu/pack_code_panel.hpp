#pragma once
// Codes that live for one product as a panel of weights (packing/panels.hpp): bytes with an offset.
#include <algorithm>
#include <bit>
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cpu/transpose.hpp>
#include <planish/packing/panels.hpp>
#include <planish/packing/quantized_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Bytes that pack_code_panel writes: whole groups of four lines.
[[nodiscard]] constexpr index code_panel_room(index columns) noexcept {
  return (line_count(columns) + 3) / 4 * 4 * line_bytes(CodeStorage::byte);
}

/// Rows [32 · panel, 32 · panel + 32) of symmetric codes, all of which must be there, as one panel. The sums and scales
/// of the rows are those of the panel's channels.
PLANISH_LAZY void pack_code_panel(QuantizedRowsView w, index panel, std::uint8_t* to) noexcept {
  static_assert(line_depth == sizeof(float), "planish: a line of a channel is moved as one float");
  // Four codes move as one float, in vectors only, whatever number its bits may mean.
  const index words = code_panel_room(w.columns) / line_bytes(CodeStorage::byte);
  transpose(reinterpret_cast<const float*>(w.row(panel * panel_width)), w.stride / line_depth, panel_width, words,
            reinterpret_cast<float*>(to), panel_width);
  constexpr index together = 64;
  constexpr auto offset = static_cast<std::uint8_t>(storage_offset(CodeStorage::byte));
  for (index at = 0; at < words * line_bytes(CodeStorage::byte); at += together)
    for (index i = 0; i < together; ++i) to[at + i] ^= offset;
}

namespace detail {

using SixteenCodes __attribute__((vector_size(16))) = std::uint8_t;
using EightPairs __attribute__((vector_size(16))) = std::uint16_t;

/// 16 channels of four rows of terms as four groups of four bytes.
PLANISH_ALWAYS_INLINE void interleave_terms(const std::int8_t* const (&rows)[line_depth], std::uint8_t* to) noexcept {
  const auto load = [&](int r) __attribute__((always_inline)) {
    SixteenCodes codes;
    __builtin_memcpy(&codes, rows[r], sizeof(codes));
    return codes ^ static_cast<std::uint8_t>(storage_offset(CodeStorage::byte));
  };
  const auto low = [](SixteenCodes a, SixteenCodes b) __attribute__((always_inline)) {
    return std::bit_cast<EightPairs>(
        __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
  };
  const auto high = [](SixteenCodes a, SixteenCodes b) __attribute__((always_inline)) {
    return std::bit_cast<EightPairs>(
        __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
  };
  const auto store = [&](int group, EightPairs a, EightPairs b) __attribute__((always_inline)) {
    const EightPairs first = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11),
                     second = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
    __builtin_memcpy(to + group * 32, &first, sizeof(first));
    __builtin_memcpy(to + group * 32 + 16, &second, sizeof(second));
  };
  const SixteenCodes a = load(0), b = load(1), c = load(2), d = load(3);
  store(0, low(a, b), low(c, d));
  store(1, high(a, b), high(c, d));
}

}  // namespace detail

/// Channels [32 · panel, 32 · panel + 32) of symmetric codes whose rows are terms, terms × channels, as one panel of
/// code_panel_room(terms) bytes. A row has whole panels of channels.
PLANISH_LAZY void pack_term_panel(QuantizedRowsView terms, index panel, std::uint8_t* to) noexcept {
  static constexpr std::int8_t none[panel_width] = {};
  const index first = panel * panel_width;
  std::uint8_t* const end = to + code_panel_room(terms.rows);
  for (index k = 0; k < terms.rows; k += line_depth, to += line_bytes(CodeStorage::byte)) {
    const std::int8_t* rows[line_depth];
    for (index half = 0; half < panel_width; half += 16) {
      for (index i = 0; i < line_depth; ++i) rows[i] = k + i < terms.rows ? terms.row(k + i) + first + half : none;
      detail::interleave_terms(rows, to + half * line_depth);
    }
  }
  std::fill(to, end, static_cast<std::uint8_t>(storage_offset(CodeStorage::byte)));
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
