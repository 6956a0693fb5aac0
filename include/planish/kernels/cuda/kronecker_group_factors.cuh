#pragma once
// The factors of a Kronecker transform where products of warpgroups read them.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/group_columns.cuh>
#include <planish/kernels/cuda/kronecker_factors.cuh>
#include <planish/kernels/cuda/kronecker_group_size.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// A factor from its fragments, `count` vectors, to rows of 64 k: `place` says where a word goes; several loads at a
/// time, for a block that has one token waits for them.
template <int Together, class Load, class Place>
PLANISH_DEVICE void spread_factor(int count, int threads, const Load& load, const Place& place) noexcept {
  PLANISH_NO_UNROLL
  for (int begin = thread_index(); begin < count; begin += Together * threads) {
    Vector16 v[Together];
    PLANISH_UNROLL
    for (int j = 0; j < Together; ++j)
      if (begin + j * threads < count) v[j] = load(begin + j * threads);
    PLANISH_UNROLL
    for (int j = 0; j < Together; ++j) {
      if (begin + j * threads >= count) break;
      PLANISH_UNROLL
      for (int w = 0; w < 4; ++w) *reinterpret_cast<std::uint32_t*>(place(begin + j * threads, w)) = v[j].words[w];
    }
  }
}

/// R, a row per column in the order of kronecker_column.
template <class Size>
PLANISH_DEVICE void spread_right(const KroneckerFactorsView& f, int threads, unsigned char* right) noexcept {
  constexpr int pairs = Size::columns / 16;
  spread_factor<8>(
      pairs * pairs * 32, threads, [&](int i) { return reinterpret_cast<const Vector16*>(f.right)[i]; },
      [=](int i, int w) {
        const int lane = i % 32, pair = i / 32 % pairs, k = i / 32 / pairs;
        const int column = 16 * pair + 8 * (w / 2) + lane / 4, byte = 32 * (k % 4) + 16 * (w % 2) + 4 * (lane % 4);
        return right + k / 4 * Size::columns * 128 + exchanged_offset(column, byte);
      });
}

/// Lᵀ by rows, zeros where there are none.
template <class Size>
PLANISH_DEVICE void spread_left(const KroneckerFactorsView& f, int threads, unsigned char* left) noexcept {
  const int steps = sixteens(f.n1);
  spread_factor<4>(
      4 * Size::row_groups * Size::left_steps * 32, threads,
      [&](int i) {
        const int tile = i / 32 / Size::left_steps, k = i / 32 % Size::left_steps;
        if (tile >= steps || k >= steps) return Vector16{{0, 0, 0, 0}};
        return reinterpret_cast<const Vector16*>(f.left)[(tile * steps + k) * 32 + i % 32];
      },
      [=](int i, int w) {
        const int lane = i % 32, tile = i / 32 / Size::left_steps, k = i / 32 % Size::left_steps;
        const int row = 16 * tile + 8 * (w % 2) + lane / 4, byte = 32 * (k % 4) + 16 * (w / 2) + 4 * (lane % 4);
        return left + k / 4 * Size::left_chunk_bytes + exchanged_offset(row, byte);
      });
}

/// Lᵀ as a warp has it: its fragments, or the 64 rows of its warpgroup in shared memory.
template <class Size, bool InRegisters = Size::left_in_registers>
struct GroupLeft {
  Vector16 kept[Size::left_steps];

  PLANISH_DEVICE GroupLeft(const KroneckerFactorsView& f, int tile, const unsigned char*) noexcept {
    const int steps = sixteens(f.n1);
    PLANISH_UNROLL
    for (int k = 0; k < Size::left_steps; ++k) {
      kept[k] = Vector16{{0, 0, 0, 0}};
      if (tile < steps && k < steps)
        kept[k] = reinterpret_cast<const Vector16*>(f.left)[(tile * steps + k) * 32 + thread_index() % warp_size];
    }
  }
  template <int Registers>
  PLANISH_DEVICE void multiply(float (&sums)[Registers], int k, const unsigned char* columns) const noexcept {
    multiply_across<typename Size::Type>(sums, kept[k].words, columns, Size::chunk_bytes, k > 0);
  }
};
template <class Size>
struct GroupLeft<Size, false> {
  const unsigned char* rows;

  PLANISH_DEVICE GroupLeft(const KroneckerFactorsView&, int tile, const unsigned char* left) noexcept
      : rows(left + tile / 4 * 64 * 128) {}
  template <int Registers>
  PLANISH_DEVICE void multiply(float (&sums)[Registers], int k, const unsigned char* columns) const noexcept {
    multiply_shared_across<typename Size::Type>(sums, rows + k / 4 * Size::left_chunk_bytes, k % 4 * 32, columns,
                                                Size::chunk_bytes, k > 0);
  }
};

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
