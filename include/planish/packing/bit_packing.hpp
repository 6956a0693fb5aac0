#pragma once
// n-bit codes ↔ bytes: bit i of the stream is bit i % 8 of byte i / 8, codes follow each other without gaps, lowest bit
// first, and every row starts on a byte. Symmetric codes are stored offset-binary, code + 2^(b−1).
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/scheme.hpp>

namespace planish::inline PLANISH_ABI {

/// Bytes of one packed row.
[[nodiscard]] constexpr index packed_row_bytes(index columns, int bits) noexcept { return (columns * bits + 7) / 8; }

/// Packs one row of canonical codes (one byte each) into packed_row_bytes(columns, bits) bytes. Bits behind the last
/// code are 0.
inline void pack_row(const std::uint8_t* codes, index columns, int bits, Symmetry symmetry,
                     std::uint8_t* bytes) noexcept {
  const unsigned mask = (1u << bits) - 1;
  const unsigned offset = symmetry == Symmetry::symmetric ? 1u << (bits - 1) : 0u;
  unsigned pending = 0;  // bits not yet written, lowest first
  int pending_bits = 0;
  for (index c = 0; c < columns; ++c) {
    pending |= ((codes[c] + offset) & mask) << pending_bits;
    pending_bits += bits;
    if (pending_bits >= 8) {
      *bytes++ = static_cast<std::uint8_t>(pending);
      pending >>= 8;
      pending_bits -= 8;
    }
  }
  if (pending_bits > 0) *bytes = static_cast<std::uint8_t>(pending);
}

/// The inverse of pack_row.
inline void unpack_row(const std::uint8_t* bytes, index columns, int bits, Symmetry symmetry,
                       std::uint8_t* codes) noexcept {
  const unsigned mask = (1u << bits) - 1;
  const unsigned offset = symmetry == Symmetry::symmetric ? 1u << (bits - 1) : 0u;
  unsigned pending = 0;
  int pending_bits = 0;
  for (index c = 0; c < columns; ++c) {
    if (pending_bits < bits) {
      pending |= static_cast<unsigned>(*bytes++) << pending_bits;
      pending_bits += 8;
    }
    codes[c] = static_cast<std::uint8_t>((pending & mask) - offset);
    pending >>= bits;
    pending_bits -= bits;
  }
}

}  // namespace planish::inline PLANISH_ABI
