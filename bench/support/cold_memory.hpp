#pragma once
// Memory that no cache holds, and one pass over it.
#include <cstddef>
#include <cstdint>
#include <utility>

#include <planish/core/aligned_buffer.hpp>

namespace bench {

/// Reads `bytes` (a multiple of 256) once.
inline std::uint64_t read_once(const std::byte* from, std::size_t bytes) noexcept {
#if defined(__AVX512F__)
  constexpr int vector_bytes = 64;
#elif defined(__AVX2__)
  constexpr int vector_bytes = 32;
#else
  constexpr int vector_bytes = 16;
#endif
  using Line [[gnu::vector_size(vector_bytes), gnu::may_alias]] = std::uint64_t;
  Line a{}, b{}, c{}, d{};
  for (std::size_t i = 0; i < bytes; i += 4 * sizeof(Line)) {
    const auto* line = reinterpret_cast<const Line*>(from + i);
    a ^= line[0];
    b ^= line[1];
    c ^= line[2];
    d ^= line[3];
  }
  const Line all = a ^ b ^ c ^ d;
  std::uint64_t folded = 0;
  for (int i = 0; i < vector_bytes / 8; ++i) folded ^= all[i];
  return folded;
}

/// More than any cache holds that one process may hope for.
inline constexpr std::size_t cold_bytes = std::size_t{1} << 30;

/// Cold memory, shared by everything that wants operands which are in no cache.
inline planish::AlignedBuffer<std::uint8_t>& cold_memory() {
  static planish::AlignedBuffer<std::uint8_t> memory = [] {
    auto made = planish::AlignedBuffer<std::uint8_t>::make(static_cast<planish::index>(cold_bytes));
    return made ? *std::move(made) : planish::AlignedBuffer<std::uint8_t>{};
  }();
  return memory;
}

}  // namespace bench
