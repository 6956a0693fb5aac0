#pragma once
// What the copy engine is told of rows of bytes: 128 bytes of a number of rows come at once, in the exchanged order of
// token_chunk_offset. The driver writes the description; it is reached by the function that `query_device` found, so
// that nothing is linked against the driver.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>

#if defined(__CUDACC__)
#include <cuda.h>
#define PLANISH_GRID_CONSTANT __grid_constant__
#else
#define PLANISH_GRID_CONSTANT
#endif

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// The description, as a kernel's argument.
struct alignas(128) TensorMap {
  std::uint64_t words[16];
};

/// Rows of bytes of device memory.
struct ByteRows {
  const void* data = nullptr;  // a multiple of 16
  index rows = 0, columns = 0;
  index stride = 0;  // bytes, a multiple of 16, below 2^40
};

inline constexpr int box_columns = 128;

/// Matrices of such rows, one every `distance` bytes, a multiple of 16.
struct ByteMatrices {
  ByteRows rows;
  index count = 0, distance = 0;
};

#if defined(__CUDACC__)
/// Describes boxes of 128 columns × `box_rows` (at most 256). `encode`: cuTensorMapEncodeTiled. False: refused.
[[nodiscard]] inline bool describe_rows(void* encode, const ByteRows& rows, int box_rows, TensorMap& map) noexcept {
  static_assert(sizeof(TensorMap) == sizeof(CUtensorMap));
  // The driver would say no, and tools that watch its calls would report an error.
  if (reinterpret_cast<std::uintptr_t>(rows.data) % 16 != 0 || rows.stride % 16 != 0) return false;
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(rows.columns), static_cast<cuuint64_t>(rows.rows)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(rows.stride)};
  const cuuint32_t box[] = {box_columns, static_cast<cuuint32_t>(box_rows)}, steps[] = {1, 1};
  const auto call = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(encode);
  return call(reinterpret_cast<CUtensorMap*>(&map), CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, const_cast<void*>(rows.data),
              sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
              CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}
/// Describes boxes of `columns` (128 or 64) × `box_rows` of one matrix. Where there are 64, a row of the box has 64
/// bytes and piece p of row r lies at p ^ r / 2 % 4.
[[nodiscard]] inline bool describe_matrices(void* encode, const ByteMatrices& matrices, int columns, int box_rows,
                                            TensorMap& map) noexcept {
  const ByteRows& rows = matrices.rows;
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(rows.columns), static_cast<cuuint64_t>(rows.rows),
                              static_cast<cuuint64_t>(matrices.count)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(rows.stride), static_cast<cuuint64_t>(matrices.distance)};
  const cuuint32_t box[] = {static_cast<cuuint32_t>(columns), static_cast<cuuint32_t>(box_rows), 1};
  const cuuint32_t steps[] = {1, 1, 1};
  const auto call = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(encode);
  return call(reinterpret_cast<CUtensorMap*>(&map), CU_TENSOR_MAP_DATA_TYPE_UINT8, 3, const_cast<void*>(rows.data),
              sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
              columns == 64 ? CU_TENSOR_MAP_SWIZZLE_64B : CU_TENSOR_MAP_SWIZZLE_128B,
              CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}
#else
[[nodiscard]] bool describe_rows(void* encode, const ByteRows& rows, int box_rows, TensorMap& map) noexcept;
[[nodiscard]] bool describe_matrices(void* encode, const ByteMatrices& matrices, int columns, int box_rows,
                                     TensorMap& map) noexcept;
#endif

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
