#pragma once
// 16 bytes of a row: their values, and their codes where they belong.
#include <cstdint>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/core/half.hpp>
#include <planish/kernels/cuda/row_codes.cuh>
#include <planish/kernels/cuda/warp.cuh>

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

/// Stores the codes of a vector of a row's elements, adds them to `sum`, and returns true; or does nothing, where one
/// lies too near a tie for the product with the reciprocal. `Cut`: values may lie beyond the ends of the codes.
template <class E, bool Cut>
PLANISH_DEVICE bool store_quick_codes(const RowCoder& coder, const RowVector<E>& v, CodeForm form, std::int8_t* to,
                                      int& sum) noexcept {
  constexpr int lanes = RowVector<E>::lanes;
  std::uint32_t steps[lanes];
  float farthest = 0.0f;
  PLANISH_UNROLL
  for (int i = 0; i < lanes; ++i) steps[i] = coder.template probable_steps<Cut>(v.value(i), farthest);
  if (farthest >= RowCoder::surely_nearest) return false;
  if (form == CodeForm::bytes) {
    std::uint32_t words[lanes / 4];
    PLANISH_UNROLL
    for (int i = 0; i < lanes / 4; ++i) {
      words[i] = pack_steps<8, 4>(steps + 4 * i, coder.affine.zero_point);
      sum = add_bytes(words[i], sum);
    }
    if constexpr (lanes == 8)
      *reinterpret_cast<Vector8*>(to) = Vector8{{words[0], words[1]}};
    else
      *reinterpret_cast<std::uint32_t*>(to) = words[0];
    return true;
  }
  const std::uint32_t nibbles = pack_steps<4, lanes>(steps, coder.affine.zero_point);
  sum = add_nibbles(nibbles, sum - 8 * lanes);
  if constexpr (lanes == 8)
    *reinterpret_cast<std::uint32_t*>(to) = nibbles;
  else
    *reinterpret_cast<std::uint16_t*>(to) = static_cast<std::uint16_t>(nibbles);
  return true;
}

/// Stores the codes of a vector and returns their sum. Behind the last column, byte codes are 0 up to the stride.
template <class E>
PLANISH_DEVICE int store_row_codes(const RowCoder& coder, const RowVector<E>& v, int at, int columns, CodeForm form,
                                   std::int8_t* row, int stride) noexcept {
  constexpr int lanes = RowVector<E>::lanes;
  const std::uint32_t nothing = 0x4b400000u - static_cast<std::uint32_t>(coder.affine.zero_point);
  std::uint32_t steps[8] = {nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing};
  PLANISH_UNROLL
  for (int i = 0; i < lanes; ++i) {
    const float value = coder.shifted ? coder.shifted_value(v.value(i)) : v.value(i);
    steps[i] = coder.code(value) - static_cast<std::uint32_t>(coder.affine.zero_point);
  }
  if (at + lanes > columns) {
    PLANISH_UNROLL
    for (int i = 0; i < lanes; ++i) steps[i] = at + i < columns ? steps[i] : nothing;
  }
  if (form == CodeForm::bytes) {
    const std::uint32_t low = pack_steps<8, 4>(steps, coder.affine.zero_point);
    const std::uint32_t high = lanes == 8 ? pack_steps<8, 4>(steps + 4, coder.affine.zero_point) : 0;
    if (at + lanes <= stride && stride % lanes == 0) {
      if constexpr (lanes == 8)
        *reinterpret_cast<Vector8*>(row + at) = Vector8{{low, high}};
      else
        *reinterpret_cast<std::uint32_t*>(row + at) = low;
    } else {
      PLANISH_UNROLL
      for (int i = 0; i < lanes; ++i)
        if (at + i < stride) row[at + i] = static_cast<std::int8_t>((i < 4 ? low : high) >> (i % 4 * 8));
    }
    return add_bytes(high, add_bytes(low, 0));
  }
  const std::uint32_t nibbles = pack_steps<4, 8>(steps, coder.affine.zero_point);
  const int sum = add_nibbles(nibbles, -64);
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

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
