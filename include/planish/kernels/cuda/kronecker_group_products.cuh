#pragma once
// What a warpgroup computes for one token of kronecker_groups.cuh (sm_90a): U = Lᵀ · M, rounded, and V = U · R.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/group_columns.cuh>
#include <planish/kernels/cuda/kronecker_group_factors.cuh>
#include <planish/kernels/cuda/kronecker_group_size.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Starts `Width` columns of U of one warpgroup's rows, from column `first` of a stage on.
template <class Size, int Width, class Left>
PLANISH_DEVICE void start_left(const Left& left, const unsigned char* stage, int first,
                               float (&between)[Width / 2]) noexcept {
  const unsigned char* const columns = stage + first / 64 * Size::chunk_bytes;
  begin_products();
  PLANISH_UNROLL
  for (int k = 0; k < Size::left_steps; ++k) {
    if constexpr (Width == 32)
      multiply_across_narrow<typename Size::Type>(between, left.kept[k].words, columns + k * 1024, k > 0);
    else
      left.multiply(between, k, columns + k * 2048);
  }
  commit_products();
}

/// U from sums to operands, once all products but those of `Pending` groups are done.
template <class Size, int Pending, int Width>
PLANISH_DEVICE void round_left(float (&between)[Width], int first,
                               std::uint32_t (&rounded)[Size::columns / 16][4]) noexcept {
  wait_products<Pending>();
  settle(between);
  PLANISH_UNROLL
  for (int i = 0; i < Width / 2; ++i)
    rounded[first / 16 + i / 4][i % 4] = round_pair(typename Size::Type{}, between[2 * i], between[2 * i + 1]);
  // Not later: the next products go where these sums were.
  PLANISH_UNROLL
  for (int i = 0; i < Width / 8; ++i) settle(rounded[first / 16 + i]);
}

/// V = round(Lᵀ · M) · R of one warpgroup's rows. Where U is wide it comes in blocks of 64 columns, two at a time.
/// `release`: called once M is no longer needed.
template <class Size, class Left, class Release>
PLANISH_DEVICE void transform_rows(const Left& left, const unsigned char* stage, const unsigned char* right,
                                   float (&sums)[Size::columns / 2], const Release& release) noexcept {
  std::uint32_t rounded[Size::columns / 16][4];
  if constexpr (!Size::narrow) {
    float between[Size::columns / 2];
    start_left<Size, Size::columns>(left, stage, 0, between);
    round_left<Size, 0>(between, 0, rounded);
  } else {
    constexpr int blocks = Size::columns / 64;
    float between[blocks][32], rest[16];  // ptxas 13.0 loses products whose sums others take over
    start_left<Size, 64>(left, stage, 0, between[0]);
    PLANISH_UNROLL
    for (int i = 1; i < blocks; ++i) {
      start_left<Size, 64>(left, stage, 64 * i, between[i]);
      round_left<Size, 1>(between[i - 1], 64 * (i - 1), rounded);
    }
    start_left<Size, 32>(left, stage, 64 * blocks, rest);
    round_left<Size, 1>(between[blocks - 1], 64 * (blocks - 1), rounded);
    round_left<Size, 0>(rest, 64 * blocks, rounded);
  }
  release();
  begin_products();
  PLANISH_UNROLL
  for (int k = 0; k < Size::columns / 16; ++k)
    multiply_along<typename Size::Type>(sums, rounded[k], right + k / 4 * Size::columns * 128, k % 4 * 32, k > 0);
  commit_products();
  wait_products<0>();
  settle(sums);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
