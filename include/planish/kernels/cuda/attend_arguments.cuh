#pragma once
// Attention of a few query tokens per sequence over a quantized cache: what it is asked for, and how blocks share it.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/cache_pages.cuh>
#include <planish/kernels/cuda/element_type.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Causal attention; every pointer is of device memory. Row s · queries + r of q and y is the token of sequence s at
/// position cache.lengths[s] − queries + r and sees the tokens up to itself, already appended; a row before the first
/// token (a sequence that is idle) becomes 0. Query head h reads KV head h / group.
struct AttendArguments {
  const void* q = nullptr;                  // sequences · queries × kv_heads · group · head_size
  void* y = nullptr;                        // the same shape; may not overlap q
  std::int64_t q_stride = 0, y_stride = 0;  // elements
  float softmax_scale = 1.0f;
  CachePages cache;
  std::int32_t* bad_lines = nullptr;  // outputs (rows × query heads) that are not finite are added here; may be null
  void* workspace = nullptr;          // plan.workspace_bytes, zeroed once; every launch leaves it zeroed
};

/// How the blocks of a launch share the work. A line is one query head of one row; line l of a KV head is row l /
/// group, head l % group. A block has up to 8 or 16 lines of one KV head and one share of the tokens.
struct AttendSharing {
  int queries = 1, group = 1;
  int tokens = 0;  // of a sequence, at most
  int line_tiles = 1, splits = 1, warps = 4;
  int parts = 1;  // 16-bit floats that stand for a query and for a weight
  ElementType input = ElementType::bfloat16, output = ElementType::bfloat16;

  [[nodiscard]] PLANISH_HOST_DEVICE constexpr int lines() const noexcept { return queries * group; }
};

/// What is compiled: the most channels, the lines of a block in eights, and where they are known the widths of codes
/// (0: they are not, and heads may be smaller).
template <int Channels, int LineTiles, int Width>
struct AttendSize {
  static constexpr int channels = Channels, line_tiles = LineTiles, lines = 8 * LineTiles, width = Width;
  static constexpr bool whole = Width != 0;
  static constexpr int units = Channels > 128 ? 2 : 4;  // groups of 16 tokens that a warp takes at a time
  static constexpr int tile = 16 * units;               // tokens
  static constexpr int most_warps = 4;
  static constexpr int blocks =
      Channels > 128 || LineTiles > 1 ? 2 : 3;  // of most_warps on a multiprocessor, by registers
};

/// A layout of which the compiler knows what the size says.
template <class Size>
[[nodiscard]] PLANISH_HOST_DEVICE constexpr CacheLayout known_layout(CacheLayout l) noexcept {
  if constexpr (Size::whole) {
    l.head_size = Size::channels;
    l.key_width = l.value_width = Size::width;
    l.key_pieces = Size::channels * Size::width / 128;
    l.value_lines = Size::channels * Size::width / 64;
  }
  return l;
}

/// Shared memory of a block, in bytes from its beginning: queries as fragments, what is known of the lines, and a ring
/// of two tiles per warp, in whose place the warps' results meet at the end.
struct AttendMemory {
  int line_offset, ring_offset, tile_bytes, bytes;
};

/// Floats between two lines of results: the channels, then maximum and sum.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int attend_line_floats(int head_size) noexcept { return head_size + 4; }

/// Products over 16 channels that a query takes.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int attend_steps(const CacheLayout& l) noexcept {
  return l.key_pieces * (8 / l.key_width);
}

template <class Size>
[[nodiscard]] PLANISH_HOST_DEVICE constexpr AttendMemory attend_memory(const CacheLayout& l, int warps,
                                                                       int parts) noexcept {
  AttendMemory m{};
  m.line_offset = parts * attend_steps(l) * Size::line_tiles * 256;
  m.ring_offset = m.line_offset + (Size::lines * 3 * 4 + 16 + 127) / 128 * 128;
  m.tile_bytes = (l.key_bytes() + l.value_bytes()) / (4 / Size::units) + cache_side_bytes;
  const int ring = 2 * warps * m.tile_bytes, meeting = warps * Size::lines * attend_line_floats(l.head_size) * 4;
  m.bytes = m.ring_offset + (ring > meeting ? ring : meeting);
  return m;
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
