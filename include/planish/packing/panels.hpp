#pragma once
// The tiled weight layout of the integer kernels, as maps from (channel, column) to bytes. Output channels lie in
// panels of 32, columns in lines of 4, so that one 4-byte group of activations meets 32 channels in one or two cache
// lines.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/index.hpp>
#include <planish/core/scheme.hpp>

namespace planish::inline PLANISH_ABI {

inline constexpr index panel_width = 32;  // output channels of a panel
inline constexpr index line_depth = 4;    // columns of a line

/// How a weight code is stored: two codes to a byte (2 to 4 bits), or one (5 to 8 bits).
enum class CodeStorage : std::uint8_t { nibble, byte };

[[nodiscard]] constexpr CodeStorage code_storage(int bits) noexcept {
  return bits <= 4 ? CodeStorage::nibble : CodeStorage::byte;
}

/// Stored values are unsigned. Symmetric codes are stored as code + offset, asymmetric codes as they are.
[[nodiscard]] constexpr int storage_offset(CodeStorage storage) noexcept {
  return storage == CodeStorage::nibble ? 8 : 128;
}

/// Bytes of a line: 32 channels × 4 columns.
[[nodiscard]] constexpr index line_bytes(CodeStorage storage) noexcept {
  return storage == CodeStorage::nibble ? panel_width * line_depth / 2 : panel_width * line_depth;
}

/// Panels that so many output channels take, and lines that so many columns take.
[[nodiscard]] constexpr index panel_count(index rows) noexcept { return divide_up(rows, panel_width); }
[[nodiscard]] constexpr index line_count(index columns) noexcept { return divide_up(columns, line_depth); }

/// Where a stored value lies: its byte, and the lowest of its bits in it.
struct PanelPosition {
  index byte;
  int shift;

  friend constexpr bool operator==(PanelPosition, PanelPosition) = default;
};

/// Nibble: byte (panel · lines + k/4) · 64 + (c % 16) · 4 + k % 4, low half for channels 0 to 15 of the panel, high
/// half for 16 to 31. Byte: (panel · lines + k/4) · 128 + c · 4 + k % 4. c is the channel within its panel.
[[nodiscard]] constexpr PanelPosition panel_position(CodeStorage storage, index row, index column,
                                                     index columns) noexcept {
  const index line = row / panel_width * line_count(columns) + column / line_depth;
  const index channel = row % panel_width, depth = column % line_depth;
  if (storage == CodeStorage::nibble) {
    constexpr index half = panel_width / 2;
    return {line * line_bytes(storage) + channel % half * line_depth + depth, channel < half ? 0 : 4};
  }
  return {line * line_bytes(storage) + channel * line_depth + depth, 0};
}

/// The stored value at a position, in 0 … 15 or 0 … 255.
[[nodiscard]] constexpr int stored_value(CodeStorage storage, const std::uint8_t* panels,
                                         PanelPosition position) noexcept {
  const int byte = panels[position.byte];
  return storage == CodeStorage::nibble ? (byte >> position.shift) & 15 : byte;
}

}  // namespace planish::inline PLANISH_ABI
