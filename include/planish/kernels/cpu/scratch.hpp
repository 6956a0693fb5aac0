#pragma once
// How the products cut their work, and the scratch memory of one worker that follows from it.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/index.hpp>
#include <planish/core/workspace.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Rows that meet one panel before the next panel is read: their activations stay in the second-level cache.
[[nodiscard]] constexpr index rows_per_block(index rows, index row_bytes) noexcept {
  constexpr index cache_bytes = 768 * 1024, least = 48, most = 192;
  return std::min(rows, std::clamp(cache_bytes / std::max<index>(row_bytes, 1), least, most));
}

/// Columns of float weights that meet a block of rows before the next ones are read: 128 KiB of them.
inline constexpr index float_block_columns = 1024;

/// Floats from row to row of copied activations: an odd number of cache lines.
[[nodiscard]] constexpr index copied_row_stride(index columns) noexcept { return ((columns + 15) / 16 | 1) * 16; }

/// Scratch of one worker for any product of this backend: `rows` activations of `columns` values, weights in `groups`
/// groups per row.
[[nodiscard]] constexpr std::size_t multiply_scratch_bytes(index rows, index columns, index groups) noexcept {
  const index integer_block = std::min<index>(rows, 192);
  const std::size_t group_sums = workspace_bytes<std::int32_t>(integer_block * groups);
  const index float_block = rows_per_block(rows, columns * static_cast<index>(sizeof(float)));
  const index depth = std::min(columns, float_block_columns);
  const std::size_t floats = workspace_bytes<float>(float_block * copied_row_stride(columns)) +
                             workspace_bytes<float>(float_block * panel_width) +
                             workspace_bytes<float>(depth * panel_width);
  return std::max(group_sums, floats) + buffer_alignment;
}

/// Runs `body(range)` over [0, items) in runs of nearly equal length, none longer than `most`.
template <class Body>
PLANISH_ALWAYS_INLINE void for_each_run(index items, index most, Body&& body) noexcept {
  if (items <= 0) return;
  const index runs = (items + most - 1) / most;
  for (index run = 0; run < runs; ++run) body(part_of(items, run, runs));
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
