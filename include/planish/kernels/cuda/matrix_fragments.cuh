#pragma once
// Which element of a warp's matrix product lies in which lane, register and byte (mma.sync, sm_80 and later), and how
// planish lays weights out so that a lane finds its fragment in one 16-byte load.
#include <cstdint>

#include <planish/core/abi.hpp>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// A row and a column of a matrix.
struct Element {
  int row, column;
  friend constexpr bool operator==(Element, Element) = default;
};

/// m16n8k32 of bytes. A (16 × 32): byte `b` of register `r`.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr Element byte_a_element(int lane, int r, int b) noexcept {
  return {lane / 4 + 8 * (r % 2), 16 * (r / 2) + 4 * (lane % 4) + b};
}
/// B (32 × 8): byte `b` of register `r`.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr Element byte_b_element(int lane, int r, int b) noexcept {
  return {16 * r + 4 * (lane % 4) + b, lane / 4};
}
/// m16n8k16 of 16-bit elements. A (16 × 16): half `h` of register `r`.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr Element half_a_element(int lane, int r, int h) noexcept {
  return {lane / 4 + 8 * (r % 2), 8 * (r / 2) + 2 * (lane % 4) + h};
}
/// B (16 × 8): half `h` of register `r`.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr Element half_b_element(int lane, int r, int h) noexcept {
  return {8 * r + 2 * (lane % 4) + h, lane / 4};
}
/// D (16 × 8) of both: register `r`.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr Element sum_element(int lane, int r) noexcept {
  return {lane / 4 + 8 * (r / 2), 2 * (lane % 4) + r % 2};
}

// Weights lie in units of 64 output channels × 128 columns, all column units of 64 channels behind each other. Inside,
// channels are the rows of four 16-row products, so dealt that a lane ends with 8 neighbouring channels of a token;
// columns are in order, so that tokens may be read from rows as they lie.
inline constexpr int unit_channels = 64;
inline constexpr int unit_columns = 128;
inline constexpr int unit_tiles = unit_channels / 16;  // products of 16 channels
inline constexpr int chunk_columns = 64;               // two products of 32 columns
inline constexpr int unit_chunks = unit_columns / chunk_columns;

[[nodiscard]] PLANISH_HOST_DEVICE constexpr int unit_bytes(int stored_bits) noexcept {
  return unit_channels * unit_columns * stored_bits / 8;
}

/// Channel (of 64) that row `row` of product `tile` computes.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int unit_channel(int tile, int row) noexcept {
  return 8 * (row % 8) + 2 * tile + row / 8;
}
/// Column (of 64) that k-index `k` of product `step` (0, 1) of a chunk reads.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int chunk_column(int step, int k) noexcept { return 32 * step + k; }

/// Where a weight lies in its unit: a byte, and the lowest of its bits.
struct UnitPosition {
  int byte, shift;
  friend constexpr bool operator==(UnitPosition, UnitPosition) = default;
};

/// Channel 0 … 63 and column 0 … 127 of a unit. Bytes: [chunk][step][tile][lane][16]; register r, byte b of the A
/// fragment at 4r + b. Nibbles: [chunk][tile][lane][step][8]; register r at word r / 2, in the low nibbles for even r.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr UnitPosition unit_position(int stored_bits, int channel,
                                                                       int column) noexcept {
  const int tile = channel % 8 / 2, row = channel / 8 + 8 * (channel % 2);
  const int chunk = column / chunk_columns, step = column % chunk_columns / 32, quad = column % 16 / 4;
  const int r = row / 8 + 2 * (column % 32 / 16), b = column % 4;
  const int lane = 4 * (row % 8) + quad;
  if (stored_bits == 8) return {(((chunk * 2 + step) * unit_tiles + tile) * 32 + lane) * 16 + 4 * r + b, 0};
  return {((chunk * unit_tiles + tile) * 32 + lane) * 16 + step * 8 + 4 * (r / 2) + b, 4 * (r % 2)};
}

/// Eight nibbles to eight bytes of 16 times their value: the registers of even and of odd index.
PLANISH_HOST_DEVICE inline void expand_nibbles(std::uint32_t word, std::uint32_t& even, std::uint32_t& odd) noexcept {
  even = (word << 4) & 0xf0f0f0f0u;
  odd = word & 0xf0f0f0f0u;
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
