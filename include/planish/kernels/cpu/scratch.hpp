#pragma once
// How the products cut their work, and the scratch memory of one worker that follows from it.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/index.hpp>
#include <planish/core/workspace.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Rows that meet a panel before the next panel is read.
inline constexpr index most_block_rows = 192;

/// As many of them as keep their codes in the second-level cache.
[[nodiscard]] constexpr index integer_block_rows(index row_bytes) noexcept {
  constexpr index cache_bytes = 1280 * 1024, least = 48;
  return std::clamp(cache_bytes / std::max<index>(row_bytes, 1), least, most_block_rows);
}

/// From so many rows of a block on, nibbles are expanded to bytes once for all its tiles. Group scales bring short runs
/// and short tiles, which gain sooner.
[[nodiscard]] constexpr index least_rows_to_expand(index groups) noexcept { return groups == 1 ? 96 : 36; }

/// Columns of a panel that all tiles pass before the next ones.
inline constexpr index run_columns = 1024;

/// Bytes of such a run, a code to each.
[[nodiscard]] constexpr index expanded_bytes(index columns) noexcept {
  return line_count(std::min(columns, run_columns)) * line_bytes(CodeStorage::byte);
}

/// The float product also cuts its columns, so that the activations of a block (384 KiB) stay near for all panels of a
/// batch, whose partial sums wait in scratch.
inline constexpr index float_block_columns = 512;
inline constexpr index float_batch_panels = 8;

/// Floats from row to row of copied activations: an odd number of cache lines.
[[nodiscard]] constexpr index copied_row_stride(index columns) noexcept { return ((columns + 15) / 16 | 1) * 16; }

/// Scratch of one worker for any product of this backend: `rows` activations of `columns` values, weights in `groups`
/// groups per row.
[[nodiscard]] constexpr std::size_t multiply_scratch_bytes(index rows, index columns, index groups) noexcept {
  const index block = std::min(rows, most_block_rows), depth = std::min(columns, float_block_columns);
  const std::size_t integers =
      workspace_bytes<std::int32_t>(block * groups) + workspace_bytes<float>(block * panel_width) +
      (rows < least_rows_to_expand(groups) ? 0 : workspace_bytes<std::uint8_t>(expanded_bytes(columns)));
  const std::size_t floats = workspace_bytes<float>(block * copied_row_stride(depth)) +
                             workspace_bytes<float>(block * panel_width * float_batch_panels) +
                             workspace_bytes<float>(depth * panel_width);
  return std::max(integers, floats) + buffer_alignment;
}

/// Runs `body(range)` over [0, items) in runs of nearly equal length, none longer than `most`.
template <class Body>
PLANISH_ALWAYS_INLINE void for_each_run(index items, index most, Body&& body) noexcept {
  if (items <= 0) return;
  const index runs = divide_up(items, most);
  const index length = items / runs, longer = items % runs;  // the first runs are one longer
  for (index run = 0, begin = 0; run < runs; ++run) {
    const index end = begin + length + (run < longer ? 1 : 0);
    body(Range{begin, end});
    begin = end;
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
