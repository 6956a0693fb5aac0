#pragma once
// Where a Kronecker transform on the products of warpgroups keeps its operands in shared memory.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/group_columns.cuh>
#include <planish/kernels/cuda/kronecker.cuh>
#include <planish/kernels/cuda/pipeline.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// A compiled size: up to 16·left_steps rows, exactly `columns` columns, `row_groups` warpgroups on a token.
template <class E, int RowGroups, int LeftSteps, int Columns, int Threads, bool LeftInRegisters>
struct KroneckerGroupSize {
  using Type = E;
  static constexpr int row_groups = RowGroups, left_steps = LeftSteps, columns = Columns, most_threads = Threads;
  static constexpr int token_threads = RowGroups * group_size, warps = token_threads / warp_size;
  // M lies in chunks of 64 columns, rows of 128 bytes; half a chunk at the end has rows of 64.
  static constexpr bool narrow = Columns % 64 == 32;
  static constexpr int chunks = (Columns + 63) / 64, whole_chunks = chunks - (narrow ? 1 : 0);
  static constexpr int chunk_bytes = LeftSteps * 16 * 128;
  static constexpr int stage_bytes = whole_chunks * chunk_bytes + (narrow ? chunk_bytes / 2 : 0);
  static constexpr int most_stages = 3;
  static constexpr int right_bytes = chunks * Columns * 128;  // R by columns, 64 k to a row of 128 bytes
  static constexpr bool left_in_registers = LeftInRegisters;  // or in shared memory: Lᵀ by rows, 64 k to a row
  static constexpr int left_chunk_bytes = RowGroups * 64 * 128;
  static constexpr int left_bytes = LeftInRegisters ? 0 : (LeftSteps + 3) / 4 * left_chunk_bytes;

  /// What the warps of a token tell each other; two, because some are still reading when others have gone on.
  struct Meeting {
    alignas(16) std::uint32_t highest[warps];
    alignas(16) std::uint32_t lowest[warps];
    alignas(16) std::int32_t sums[warps];
  };
  struct Ends {
    Meeting meetings[2];
    alignas(16) MemoryBarrier full[most_stages];
    MemoryBarrier factors;  // of the first group: R and Lᵀ
  };

  /// From the next multiple of 1024 bytes on: R, Lᵀ, the rings, and the ends of every token at work.
  [[nodiscard]] static constexpr int shared_bytes(int groups, int stages) noexcept {
    return 1024 + right_bytes + left_bytes + groups * (stages * stage_bytes + static_cast<int>(sizeof(Ends)));
  }
  /// What the copy engine brings of a token of n1 rows.
  [[nodiscard]] PLANISH_HOST_DEVICE static constexpr int token_bytes(int n1) noexcept {
    return n1 * (whole_chunks * 128 + (narrow ? 64 : 0));
  }
};

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
