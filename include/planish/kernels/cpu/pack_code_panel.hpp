#pragma once
#include <cstdint>
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/kernels/cpu/transpose.hpp>
#include <planish/packing/panels.hpp>
#include <planish/packing/quantized_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Bytes that pack_code_panel writes: whole groups of four lines.
[[nodiscard]] constexpr index code_panel_room(index columns) noexcept {
  return (line_count(columns) + 3) / 4 * 4 * line_bytes(CodeStorage::byte);
}

/// Rows [32 · panel, 32 · panel + 32) of symmetric codes, all of which must be there, as one panel of bytes with an
/// offset (packing/panels.hpp): weights that live for one product. The sums and scales of the rows are those of the
/// panel's channels.
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

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
