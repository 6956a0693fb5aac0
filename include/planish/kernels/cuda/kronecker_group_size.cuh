#pragma once
// Where a Kronecker transform on the products of warpgroups keeps its operands in shared memory.
#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/group_columns.cuh>
#include <planish/kernels/cuda/kronecker.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// A compiled size: up to 16·left_steps rows, exactly `columns` columns, `row_groups` warpgroups on a token.
template <class E, int RowGroups, int LeftSteps, int Columns, int Threads, bool LeftInRegisters>
struct KroneckerGroupSize {
  using Type = E;
  static constexpr int row_groups = RowGroups, left_steps = LeftSteps, columns = Columns, most_threads = Threads;
  static constexpr int token_threads = RowGroups * group_size;
  static constexpr int chunks = (Columns + 63) / 64;        // of 64 columns, rows of 128 bytes
  static constexpr int chunk_bytes = LeftSteps * 16 * 128;  // of M
  // Half a chunk at the end shares one with the other stage, of which there are two then.
  static constexpr bool paired = Columns % 64 == 32;
  static constexpr int most_stages = paired ? 2 : 3, whole_chunks = chunks - (paired ? 1 : 0);
  static constexpr int stage_bytes = whole_chunks * chunk_bytes;
  // Columns of U at a time, so that U and V have registers.
  static constexpr int block = Columns > 128 ? 64 : Columns;
  static constexpr int right_bytes = chunks * Columns * 128;  // R by columns, 64 k to a row of 128 bytes
  static constexpr bool left_in_registers = LeftInRegisters;  // or read again for every token

  /// From the next multiple of 1024 bytes on: R, the rings, and of every token at work its meeting.
  [[nodiscard]] static constexpr int shared_bytes(int groups, int stages) noexcept {
    return 1024 + right_bytes + groups * (ring_bytes(stages) + kronecker_meeting_bytes);
  }
  [[nodiscard]] PLANISH_HOST_DEVICE static constexpr int ring_bytes(int stages) noexcept {
    return stages * stage_bytes + (paired ? chunk_bytes : 0);
  }
  /// Where chunk `chunk` of a stage begins, and the byte of its rows.
  [[nodiscard]] PLANISH_HOST_DEVICE static constexpr int chunk_at(int stage, int chunk) noexcept {
    return paired && chunk == whole_chunks ? 2 * stage_bytes : stage * stage_bytes + chunk * chunk_bytes;
  }
  [[nodiscard]] PLANISH_HOST_DEVICE static constexpr int byte_at(int stage, int chunk) noexcept {
    return paired && chunk == whole_chunks ? 64 * stage : 0;
  }
};

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
