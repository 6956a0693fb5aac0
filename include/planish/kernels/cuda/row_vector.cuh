#pragma once
// Sixteen bytes of a row: its values, their range, their codes.
#include <cstdint>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/core/half.hpp>
#include <planish/kernels/cuda/row_codes.cuh>
#include <planish/kernels/cuda/row_range.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// The values of 16 bytes of a row.
template <class E>
struct RowVector {
  static constexpr int lanes = 16 / static_cast<int>(sizeof(E));
  Vector16 bytes;

  [[nodiscard]] PLANISH_DEVICE float value(int i) const noexcept {
    if constexpr (std::is_same_v<E, float>)
      return __builtin_bit_cast(float, bytes.words[i]);
    else
      return widen(E{static_cast<std::uint16_t>(bytes.words[i / 2] >> (i % 2 * 16))});
  }
};

/// Elements [at, at + lanes) of a row; those behind the last column are 0.
template <class E>
PLANISH_DEVICE RowVector<E> load_row_vector(const E* row, int at, int columns, bool aligned) noexcept {
  RowVector<E> v{};
  if (aligned && at + RowVector<E>::lanes <= columns) {
    v.bytes = *reinterpret_cast<const Vector16*>(row + at);
    return v;
  }
  PLANISH_UNROLL
  for (int i = 0; i < RowVector<E>::lanes; ++i) {
    if (at + i >= columns) continue;
    if constexpr (std::is_same_v<E, float>)
      v.bytes.words[i] = __builtin_bit_cast(std::uint32_t, row[at + i]);
    else
      v.bytes.words[i / 2] |= static_cast<std::uint32_t>(row[at + i].bits) << (i % 2 * 16);
  }
  return v;
}

/// Stores the codes of a vector and returns their sum. Behind the last column, byte codes are 0 up to the stride.
template <class E>
PLANISH_DEVICE int store_row_codes(const RowCoder& coder, const RowVector<E>& v, int at, int columns, CodeForm form,
                                   std::int8_t* row, int stride) noexcept {
  constexpr int lanes = RowVector<E>::lanes;
  float values[8] = {};
  PLANISH_UNROLL
  for (int i = 0; i < lanes; ++i) values[i] = v.value(i);
  if (coder.shifted) {
    PLANISH_UNROLL
    for (int i = 0; i < lanes; ++i) values[i] = coder.shifted_value(values[i]);
  }
  std::uint32_t codes[8] = {};
  PLANISH_UNROLL
  for (int i = 0; i < lanes; ++i) codes[i] = coder.code(values[i]);
  if (at + lanes > columns) {
    PLANISH_UNROLL
    for (int i = 0; i < lanes; ++i) codes[i] = at + i < columns ? codes[i] : 0;
  }
  const std::uint32_t low = low_bytes(codes[0], codes[1], codes[2], codes[3]);
  const std::uint32_t high = low_bytes(codes[4], codes[5], codes[6], codes[7]);
  const int sum = add_bytes(high, add_bytes(low, 0));
  if (form == CodeForm::bytes) {
    if (at + lanes <= stride && stride % lanes == 0) {
      if constexpr (lanes == 8)
        *reinterpret_cast<Vector8*>(row + at) = Vector8{{low, high}};
      else
        *reinterpret_cast<std::uint32_t*>(row + at) = low;
    } else {
      PLANISH_UNROLL
      for (int i = 0; i < lanes; ++i)
        if (at + i < stride) row[at + i] = static_cast<std::int8_t>(codes[i]);
    }
    return sum;
  }
  const std::uint32_t nibbles = four_nibbles(low) | four_nibbles(high) << 16;
  if (lanes == 8 && at + lanes <= columns && stride % 4 == 0) {
    *reinterpret_cast<std::uint32_t*>(row + at / 2) = nibbles;
    return sum;
  }
  PLANISH_UNROLL
  for (int i = 0; i < lanes / 2; ++i) {
    std::uint32_t byte = nibbles >> (8 * i) & 255u;
    if (at + 2 * i + 1 >= columns) byte &= 15u;
    if (at + 2 * i < columns) row[at / 2 + i] = static_cast<std::int8_t>(byte);
  }
  return sum;
}

/// The same of a vector inside of the row, where rows of codes are aligned as `check` demands, in fewer instructions:
/// `Cut`: codes may lie beyond the ends; `Shifted`: so may the coder.
template <bool Cut, bool Shifted, class E>
PLANISH_DEVICE int store_whole_codes(const RowCoder& coder, const RowVector<E>& v, int at, CodeForm form,
                                     std::int8_t* row) noexcept {
  constexpr int lanes = RowVector<E>::lanes, corrections = std::is_same_v<E, float> ? 2 : 1;
  std::uint32_t steps[lanes];
  PLANISH_UNROLL
  for (int i = 0; i < lanes; ++i)
    steps[i] = coder.template exact_steps<Cut, corrections>(Shifted ? coder.shifted_value(v.value(i)) : v.value(i));
  if (form == CodeForm::bytes) {
    const std::uint32_t low = pack_steps<8, 4>(steps, coder.affine.zero_point);
    if constexpr (lanes == 4) {
      *reinterpret_cast<std::uint32_t*>(row + at) = low;
      return add_bytes(low, 0);
    } else {
      const std::uint32_t high = pack_steps<8, 4>(steps + 4, coder.affine.zero_point);
      *reinterpret_cast<Vector8*>(row + at) = Vector8{{low, high}};
      return add_bytes(high, add_bytes(low, 0));
    }
  }
  const std::uint32_t nibbles = pack_steps<4, lanes>(steps, coder.affine.zero_point);
  if constexpr (lanes == 4)
    *reinterpret_cast<std::uint16_t*>(row + at / 2) = static_cast<std::uint16_t>(nibbles);
  else
    *reinterpret_cast<std::uint32_t*>(row + at / 2) = nibbles;
  return add_nibbles(nibbles, 0) - 8 * lanes;
}

/// The range of 16-byte vectors of a row so far.
template <class E>
struct VectorRange {
  PairBits pairs;

  PLANISH_DEVICE void add(const RowVector<E>& v) noexcept {
    pairs.add(v.bytes.words[0], v.bytes.words[1]);
    pairs.add(v.bytes.words[2], v.bytes.words[3]);
  }
  [[nodiscard]] PLANISH_DEVICE RangeBits joined() const noexcept { return pairs.template joined<E>(); }
};
template <>
struct VectorRange<float> {
  RangeBits range;

  PLANISH_DEVICE void add(const RowVector<float>& v) noexcept {
    range.add(v.value(0), v.value(1));
    range.add(v.value(2), v.value(3));
  }
  [[nodiscard]] PLANISH_DEVICE RangeBits joined() const noexcept {
    RangeBits joined = range;
    joined.join_warp();
    return joined;
  }
};

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
