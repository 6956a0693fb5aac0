#pragma once
// One token of one KV head into a page of the cache: the same bytes as the reference writes.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/kernels/cpu/isa/narrow_words.hpp>
#include <planish/kernels/cpu/quantize_rows.hpp>
#include <planish/kernels/cpu/quotient.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/packing/kv_pages.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// A vector of the cache: its Affine, not_finite_affine() if it holds NaN or infinity, and how to divide by the scale.
struct CacheRow {
  Affine affine;
  bool by_reciprocal;

  PLANISH_LAZY [[nodiscard]] static CacheRow of(const float* x, index count, index stride, int bits,
                                                ClipPair clip) noexcept {
    const RowRange range = RowRange::of(x, stride, count);
    if (!range.finite) return {not_finite_affine(), false};
    if (bits == 16) return {Affine{}, false};
    const Affine affine = asymmetric_affine(range.values, clip, bits);
    return {affine, Quotient::by_reciprocal(affine.scale, range.values)};
  }
};

/// Codes of a vector, sixteen at a time.
class CacheCodes {
 public:
  CacheCodes(const float* x, index count, index stride, CacheRow row, int bits) noexcept
      : x_(x),
        count_(count),
        stride_(stride),
        finite_(is_finite(row.affine.scale)),
        by_reciprocal_(row.by_reciprocal),
        zero_(row.affine.zero_point),
        quotient_(row.affine.scale),
        lowest_(static_cast<float>(-row.affine.zero_point)),
        highest_(static_cast<float>(code_range(bits, Symmetry::asymmetric).highest - row.affine.zero_point)) {}

  /// Calls `write(lane, vector of codes)` for elements first to first + 15; those beyond the end get 0.
  template <class Write>
  PLANISH_ALWAYS_INLINE void sixteen(index first, const Write& write) const noexcept {
    for (index lane = 0; lane < block_lanes; lane += float_lanes) {
      const index left = count_ - first - lane;
      if (!finite_ || left <= 0)
        write(lane, IntBatch(0));
      else if (left >= float_lanes && stride_ == 1)
        write(lane, codes_of(FloatBatch::load_unaligned(x_ + first + lane)));
      else
        write(lane, some_codes(first + lane, std::min(left, float_lanes)));
    }
  }

 private:
  /// The bounds are whole, so clamping before rounding gives the same code as after.
  PLANISH_LAZY [[nodiscard]] PLANISH_ALWAYS_INLINE IntBatch codes_of(FloatBatch values) const noexcept {
    const FloatBatch quotient = by_reciprocal_ ? quotient_.of<true>(values) : quotient_.of<false>(values);
    const FloatBatch steps = xsimd::max(xsimd::min(quotient, FloatBatch(highest_)), FloatBatch(lowest_));
    return xsimd::nearbyint_as_int(steps) + IntBatch(zero_);
  }
  PLANISH_LAZY [[nodiscard]] IntBatch some_codes(index first, index count) const noexcept {
    alignas(64) float values[FloatBatch::size] = {};
    for (index i = 0; i < count; ++i) values[i] = x_[(first + i) * stride_];
    alignas(64) std::int32_t codes[IntBatch::size];
    codes_of(FloatBatch::load_aligned(values)).store_aligned(codes);
    for (index i = count; i < float_lanes; ++i) codes[i] = 0;
    return IntBatch::load_aligned(codes);
  }

  const float* x_;
  index count_, stride_;
  bool finite_, by_reciprocal_;
  std::int32_t zero_;
  Quotient quotient_;
  float lowest_, highest_;
};

/// See `reference::store_key`.
PLANISH_ENTRY bool store_key(const KvPages& keys, const KvPage& page, index slot, const float* x,
                             index stride) noexcept {
  const index size = keys.head_size;
  const CacheRow row = CacheRow::of(x, size, stride, keys.bits, keys.clip);
  const Affine affine = row.affine;
  const bool finite = is_finite(affine.scale);
  if (slot < page.float_tokens) {
    for (index i = 0; i < size; ++i) page.values[i * page_tokens + slot] = finite ? x[i * stride] : affine.scale;
    return finite;
  }
  page.scales[slot] = affine.scale;
  page.zero_points[slot] = static_cast<std::uint8_t>(affine.zero_point);
  const int width = kv_code_width(keys.bits);
  const index blocks = lane_blocks(page_tokens), steps = line_steps(width);
  const CacheCodes codes(x, size, stride, row, keys.bits);
  std::uint8_t* word = page.codes + code_place(slot, 0, blocks, width).byte;
  for (index first = 0; first < size; first += block_lanes) {
    std::uint8_t sixteen[block_lanes];
    codes.sixteen(
        first, [&](index lane, IntBatch some)
                   __attribute__((always_inline)) { store_low_bytes(some, sixteen + lane); });
    for (index line = 0; line < block_lanes && first + line < size; line += steps, word += blocks * code_line_bytes) {
      std::uint32_t all = 0;
      for (index four = 0; four < steps; four += 4) {
        std::uint32_t bytes;
        std::memcpy(&bytes, sixteen + line + four, sizeof bytes);
        all |= bytes << (four / 4 * width);
      }
      std::memcpy(word, &all, sizeof all);
    }
  }
  return finite;
}

/// See `reference::store_value`.
PLANISH_ENTRY bool store_value(const KvPages& values, const KvPage& page, index slot, const float* x,
                               index stride) noexcept {
  const index size = values.head_size;
  const CacheRow row = CacheRow::of(x, size, stride, values.bits, values.clip);
  const Affine affine = row.affine;
  const bool finite = is_finite(affine.scale);
  if (slot < page.float_tokens) {
    float* out = page.values + slot * value_stride(size);
    for (index i = 0; i < size; ++i) out[i] = finite ? x[i * stride] : affine.scale;
    return finite;
  }
  page.scales[slot] = affine.scale;
  page.zero_points[slot] = static_cast<std::uint8_t>(affine.zero_point);
  const int width = kv_code_width(values.bits);
  const index blocks = lane_blocks(size);
  const CacheCodes codes(x, size, stride, row, values.bits);
  const CodePlace place = code_place(0, slot, blocks, width);
  std::uint8_t* line = page.codes + place.byte / code_line_bytes * code_line_bytes;
  const auto bit = static_cast<int>(8 * (slot % 4)) + place.bit;
  const IntBatch kept(static_cast<std::int32_t>(~(((1u << width) - 1u) << bit)));
  for (index first = 0; first < size; first += block_lanes, line += code_line_bytes)
    codes.sixteen(
        first, [&](index lane, IntBatch some) __attribute__((always_inline)) {
          auto* words = reinterpret_cast<std::int32_t*>(line) + lane;
          ((IntBatch::load_unaligned(words) & kept) | (some << bit)).store_unaligned(words);
        });
  return finite;
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
