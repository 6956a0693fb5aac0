#pragma once
// What becomes of V as the products of warpgroups leave it: codes, or values.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/kronecker_factors.cuh>
#include <planish/kernels/cuda/kronecker_group_size.cuh>
#include <planish/kernels/cuda/row_codes.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// `Count` codes of a lane's neighbouring columns in one word, `Bits` each, first lowest.
template <int Bits, int Count, bool Cut, int Registers>
PLANISH_DEVICE std::uint32_t packed_codes(const RowCoder& coder, const float (&sums)[Registers], int first) noexcept {
  std::uint32_t steps[Count];
  PLANISH_UNROLL
  for (int i = 0; i < Count; ++i) steps[i] = coder.template quick_steps<Cut>(sums[first + i / 2 * 4 + i % 2]);
  return pack_steps<Bits, Count>(steps, coder.affine.zero_point);
}

/// Stores the codes of a warp's 16 rows of V and returns this lane's sum of them, or 0 without `Sums`.
template <class Size, bool Cut, bool Sums>
PLANISH_DEVICE int store_group_codes(const RowCoder& coder, const float (&sums)[Size::columns / 2], int first_row,
                                     int n1, CodeForm form, std::int8_t* to) noexcept {
  constexpr int tiles = Size::columns / 8;
  const int lane = thread_index() % warp_size;
  auto* const out = reinterpret_cast<unsigned char*>(to);
  int sum = 0;
  PLANISH_UNROLL
  for (int h = 0; h < 2; ++h) {
    const int row = first_row + 8 * h + lane / 4;
    if (row >= n1) continue;
    PLANISH_UNROLL
    for (int tile = 0; tile < tiles; tile += 8) {
      const int together = tiles - tile < 8 ? tiles - tile : 8;
      const int at = row * Size::columns + 8 * tile + 2 * together * (lane % 4), first = 4 * tile + 2 * h;
      if (form == CodeForm::bytes) {
        std::uint32_t words[4] = {};
        PLANISH_UNROLL
        for (int word = 0; word < 4; ++word) {
          if (2 * word >= together) break;
          words[word] = packed_codes<8, 4, Cut>(coder, sums, first + 8 * word);
          if constexpr (Sums) sum = add_bytes(words[word], sum);
        }
        if (together == 8)
          *reinterpret_cast<Vector16*>(out + at) = Vector16{{words[0], words[1], words[2], words[3]}};
        else if (together == 4)
          *reinterpret_cast<Vector8*>(out + at) = Vector8{{words[0], words[1]}};
        else
          *reinterpret_cast<std::uint32_t*>(out + at) = words[0];
        continue;
      }
      if (together == 8) {
        std::uint32_t words[2];
        PLANISH_UNROLL
        for (int word = 0; word < 2; ++word) {
          words[word] = packed_codes<4, 8, Cut>(coder, sums, first + 16 * word);
          if constexpr (Sums) sum = add_nibbles(words[word], sum) - 64;
        }
        *reinterpret_cast<Vector8*>(out + at / 2) = Vector8{{words[0], words[1]}};
      } else if (together == 4) {
        const std::uint32_t word = packed_codes<4, 8, Cut>(coder, sums, first);
        if constexpr (Sums) sum = add_nibbles(word, sum) - 64;
        *reinterpret_cast<std::uint32_t*>(out + at / 2) = word;
      } else {
        const std::uint32_t word = packed_codes<4, 4, Cut>(coder, sums, first);
        if constexpr (Sums) sum = add_nibbles(word, sum) - 32;
        *reinterpret_cast<std::uint16_t*>(out + at / 2) = static_cast<std::uint16_t>(word);
      }
    }
  }
  return sum;
}

/// Stores a warp's 16 rows of V, rounded.
template <class Size>
PLANISH_DEVICE void store_group_values(const float (&sums)[Size::columns / 2], float factor, int first_row, int n1,
                                       std::uint16_t* y) noexcept {
  constexpr int tiles = Size::columns / 8;
  const int lane = thread_index() % warp_size;
  PLANISH_UNROLL
  for (int h = 0; h < 2; ++h) {
    const int row = first_row + 8 * h + lane / 4;
    if (row >= n1) continue;
    PLANISH_UNROLL
    for (int tile = 0; tile < tiles; ++tile) {
      const std::uint32_t pair =
          round_pair(typename Size::Type{}, sums[4 * tile + 2 * h] * factor, sums[4 * tile + 2 * h + 1] * factor);
      std::uint16_t* const to = y + row * Size::columns + kronecker_column(tiles, tile, 2 * (lane % 4));
      to[0] = static_cast<std::uint16_t>(pair);
      to[1] = static_cast<std::uint16_t>(pair >> 16);
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
