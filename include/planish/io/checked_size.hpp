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

/// What a reader may take for tables of what a file lists: twice the file, and what a small file needs anyway.
inline constexpr std::uint64_t least_table_bytes = std::uint64_t{8} << 20;

/// True if `count` entries of `bytes_each` stay within that, so that a short file cannot ask for much memory.
[[nodiscard]] constexpr bool tables_fit(std::uint64_t count, std::uint64_t bytes_each, std::uint64_t file) noexcept {
  std::uint64_t bytes = 0;
  return multiply_sizes(count, bytes_each, bytes) && (bytes <= least_table_bytes || bytes / 2 <= file);
}

/// Value of type T at any address, aligned or not.
template <class T>
[[nodiscard]] inline T load(const std::byte* address) noexcept {
  T value;
  std::memcpy(&value, address, sizeof(T));
  return value;
}

}  // namespace planish::inline PLANISH_ABI::io::detail
