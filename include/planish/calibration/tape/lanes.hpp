#pragma once
// Vector loops over the rows of a tape, float and double alike.
#include <algorithm>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/isa/partial.hpp>
#include <planish/kernels/cpu/simd.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

/// One register of elements.
template <class T>
using Lanes = xsimd::batch<T>;

template <class T>
inline constexpr index lane_count = static_cast<index>(Lanes<T>::size);

/// A full register of elements of a row, from element `first` on.
struct WholeLanes {
  index first;
};

/// The last elements of a row, fewer than a register.
struct LastLanes {
  index first, count;
};

/// body(WholeLanes) over the whole registers of a row, then body(LastLanes) on what is left, if anything.
template <class T, class Body>
PLANISH_ALWAYS_INLINE void for_lanes(index columns, Body&& body) {
  index c = 0;
  for (; c + lane_count<T> <= columns; c += lane_count<T>) body(WholeLanes{c});
  if (c < columns) body(LastLanes{c, columns - c});
}

template <class T>
[[nodiscard]] PLANISH_ALWAYS_INLINE Lanes<T> load(const T* row, WholeLanes at) noexcept {
  return Lanes<T>::load_unaligned(row + at.first);
}

/// The lanes beyond the end are zeros.
template <class T>
[[nodiscard]] PLANISH_ALWAYS_INLINE Lanes<T> load(const T* row, LastLanes at) noexcept {
  if constexpr (std::is_same_v<T, float>) {
    return kernels::cpu::load_partial(row + at.first, at.count);
  } else {
    alignas(64) T some[Lanes<T>::size] = {};
    std::copy_n(row + at.first, at.count, some);
    return Lanes<T>::load_aligned(some);
  }
}

template <class T>
PLANISH_ALWAYS_INLINE void store(Lanes<T> value, T* row, WholeLanes at) noexcept {
  value.store_unaligned(row + at.first);
}

template <class T>
PLANISH_ALWAYS_INLINE void store(Lanes<T> value, T* row, LastLanes at) noexcept {
  if constexpr (std::is_same_v<T, float>) {
    kernels::cpu::store_partial(value, row + at.first, at.count);
  } else {
    alignas(64) T some[Lanes<T>::size];
    value.store_aligned(some);
    std::copy_n(some, at.count, row + at.first);
  }
}

/// Stores where `fresh`, adds otherwise: a share of a gradient.
template <class T, class At>
PLANISH_ALWAYS_INLINE void accumulate(Lanes<T> value, T* row, At at, bool fresh) noexcept {
  store<T>(fresh ? value : load(row, at) + value, row, at);
}

/// a · b + c with one rounding where the target has the instruction.
template <class T>
[[nodiscard]] PLANISH_ALWAYS_INLINE Lanes<T> multiply_add(Lanes<T> a, Lanes<T> b, Lanes<T> c) noexcept {
  if constexpr (std::is_same_v<T, float>)
    return kernels::cpu::multiply_add(a, b, c);
  else
    return a * b + c;
}

/// The lanes joined pairwise, halves over one another.
template <class T, class Join>
[[nodiscard]] PLANISH_ALWAYS_INLINE T fold(Lanes<T> x, Join join) noexcept {
  alignas(64) T lane[Lanes<T>::size];
  x.store_aligned(lane);
  for (std::size_t half = Lanes<T>::size / 2; half > 0; half /= 2)
    for (std::size_t i = 0; i < half; ++i) lane[i] = join(lane[i], lane[i + half]);
  return lane[0];
}

template <class T>
[[nodiscard]] PLANISH_ALWAYS_INLINE T sum_of(Lanes<T> x) noexcept {
  return fold<T>(x, [](T a, T b) { return a + b; });
}

/// `function` of every lane, one at a time: for double, where the vector forms of the library are float's.
template <class T, class Function>
[[nodiscard]] PLANISH_ALWAYS_INLINE Lanes<T> lane_by_lane(Lanes<T> x, Function function) noexcept {
  alignas(64) T lane[Lanes<T>::size];
  x.store_aligned(lane);
  for (T& v : lane) v = function(v);
  return Lanes<T>::load_aligned(lane);
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
