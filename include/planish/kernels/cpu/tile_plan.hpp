#pragma once
// How the products by matrix tiles cut their work: blocks of rows that stay in the second-level cache, chunks of
// columns whose weights stay in the first.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/index.hpp>
#include <planish/core/workspace.hpp>
#include <planish/packing/packed_weights.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Fewer rows than this waste more of the tiles than they win: the product takes another path.
inline constexpr index least_tile_rows = 16;

/// A chunk: 1024 columns at most, 32 KiB of the expanded weights of a panel.
inline constexpr index most_chunk_steps = 16;

/// Columns, steps of 64, and the chunks that they are cut into: of nearly equal length, or one per group of weights.
/// Chunks that follow each other make a pass, whose activations stay near while a batch of panels meets them.
class TilePlan {
 public:
  TilePlan(index columns, index group_size, index groups) noexcept
      : steps_((columns + 63) / 64),
        group_steps_(groups > 1 ? group_size / 64 : 0),
        chunks_(groups > 1 ? groups : divide_up(steps_, most_chunk_steps)),
        pass_chunks_(steps_ <= most_steps_at_once
                         ? chunks_
                         : most_steps_at_once / (group_steps_ > 0 ? group_steps_ : most_chunk_steps)) {}

  [[nodiscard]] index chunks() const noexcept { return chunks_; }
  [[nodiscard]] index passes() const noexcept { return divide_up(chunks_, pass_chunks_); }
  /// First chunk of a pass.
  [[nodiscard]] index pass_begin(index pass) const noexcept { return std::min(pass * pass_chunks_, chunks_); }
  /// First step of a chunk.
  [[nodiscard]] index begin(index chunk) const noexcept {
    return group_steps_ > 0 ? std::min(chunk * group_steps_, steps_) : steps_ * chunk / chunks_;
  }

  /// Whether groups of weights are chunks: whole steps, not too many.
  [[nodiscard]] static bool takes(index group_size, index groups) noexcept {
    return groups == 1 || (group_size % 64 == 0 && group_size <= most_chunk_steps * 64);
  }

  /// Rows of a block: their codes of one pass take 1100 KiB at most.
  [[nodiscard]] static index most_rows(index columns) noexcept {
    constexpr index bytes = 1100 * 1024, most = 512;
    return std::clamp<index>(bytes / (std::min(columns, most_steps_at_once * 64) + 64) / 32 * 32, 32, most);
  }
  /// Panels whose partial sums wait while a pass goes over all of them.
  [[nodiscard]] static index batch_panels(index columns) noexcept { return columns <= most_steps_at_once * 64 ? 1 : 8; }

 private:
  static constexpr index most_steps_at_once = 80;

  index steps_, group_steps_, chunks_, pass_chunks_;
};

/// Whether tiles can make this product: enough rows, and groups that are whole steps of 64 columns.
[[nodiscard]] inline bool tiles_fit(index rows, const PackedWeightsView& w) noexcept {
  return rows >= least_tile_rows && w.columns > 0 && TilePlan::takes(w.group_size, w.groups());
}

/// What one worker's tiles write and read again, from its scratch.
struct TileMemory {
  static constexpr index block_sums = 32 * panel_width;
  static constexpr index chunk_bytes = most_chunk_steps * 64 * panel_width;

  std::int32_t* sums;     // 2 blocks of 32 rows × 32 channels: the one that is written and the one that is read
  std::int32_t* partial;  // such blocks [panel of the batch][pair of row tiles]: int32, or float over groups
  std::uint8_t* weights;  // 2 chunks, in turn

  [[nodiscard]] static index partial_sums(index rows, index columns, index groups) noexcept {
    if (groups <= 1 && columns <= most_chunk_steps * 64) return 0;
    const index pairs = (std::min(rows, TilePlan::most_rows(columns)) + 31) / 32;
    return TilePlan::batch_panels(columns) * pairs * block_sums;
  }
  [[nodiscard]] static TileMemory take(Workspace& scratch, index rows, index columns, index groups) noexcept {
    TileMemory memory;
    memory.sums = scratch.take<std::int32_t>(2 * block_sums).data();
    memory.partial = scratch.take<std::int32_t>(partial_sums(rows, columns, groups)).data();
    memory.weights = scratch.take<std::uint8_t>(2 * chunk_bytes).data();
    return memory;
  }
};

/// Scratch of one worker for products by tiles.
[[nodiscard]] inline std::size_t tile_scratch_bytes(index rows, index columns, index groups) noexcept {
  if (rows < least_tile_rows) return 0;
  return workspace_bytes<std::int32_t>(2 * TileMemory::block_sums) +
         workspace_bytes<std::int32_t>(TileMemory::partial_sums(rows, columns, groups)) +
         workspace_bytes<std::uint8_t>(2 * TileMemory::chunk_bytes) +
         workspace_bytes<std::int32_t>(std::min(rows, TilePlan::most_rows(columns)) * groups) + buffer_alignment;
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
