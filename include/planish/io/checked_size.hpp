#pragma once
// Sizes that come from files: 64 bits, little-endian, every product and sum checked before it is used.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI::io::detail {

static_assert(std::endian::native == std::endian::little, "planish: io reads and writes little-endian memory directly");

/// Largest size that still fits planish::index.
inline constexpr std::uint64_t most_size = static_cast<std::uint64_t>(std::numeric_limits<index>::max());

/// a · b in `product`; false if it does not fit planish::index.
[[nodiscard]] constexpr bool multiply_sizes(std::uint64_t a, std::uint64_t b, std::uint64_t& product) noexcept {
  if (a > most_size || b > most_size || (b != 0 && a > most_size / b)) return false;
  product = a * b;
  return true;
}

/// a + b in `sum`; false if it does not fit planish::index.
[[nodiscard]] constexpr bool add_sizes(std::uint64_t a, std::uint64_t b, std::uint64_t& sum) noexcept {
  if (a > most_size || b > most_size - a) return false;
  sum = a + b;
  return true;
}

/// Elements of a shape; false on overflow. Extents of zero do not hide an overflow of the others.
[[nodiscard]] constexpr bool count_elements(std::span<const index> shape, std::uint64_t& count) noexcept {
  std::uint64_t others = 1;
  bool none = false;
  for (index extent : shape) {
    if (extent < 0) return false;
    none = none || extent == 0;
    if (extent != 0 && !multiply_sizes(others, static_cast<std::uint64_t>(extent), others)) return false;
  }
  count = none ? 0 : others;
  return true;
}

/// Value of type T at any address, aligned or not.
template <class T>
[[nodiscard]] inline T load(const std::byte* address) noexcept {
  T value;
  std::memcpy(&value, address, sizeof(T));
  return value;
}

}  // namespace planish::inline PLANISH_ABI::io::detail
