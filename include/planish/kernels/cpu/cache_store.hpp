#pragma once
// One token of one KV head into a page of the cache: the same bytes as the reference writes.
#include <cstdint>
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/kernels/cpu/quantize_rows.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/packing/kv_pages.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// The Affine of a vector of the cache; not_finite_affine() if it holds NaN or infinity.
[[nodiscard]] inline Affine cache_row_affine(const float* x, index count, index stride, int bits,
                                             ClipPair clip) noexcept {
  const RowRange range = RowRange::of(x, stride, count);
  if (!range.finite) return not_finite_affine();
  return bits == 16 ? Affine{} : asymmetric_affine(range.values, clip, bits);
}

/// Calls `write(code)` for each element in order; all codes are 0 if the scale is NaN.
template <class Write>
PLANISH_ALWAYS_INLINE void for_each_code(const float* x, index count, index stride, Affine affine, int bits,
                                         const Write& write) noexcept {
  if (!is_finite(affine.scale)) {
    for (index i = 0; i < count; ++i) write(std::uint8_t{0});
    return;
  }
  const FloatBatch scale(affine.scale);
  const FloatBatch lowest(static_cast<float>(-affine.zero_point));
  const FloatBatch highest(static_cast<float>(code_range(bits, Symmetry::asymmetric).highest - affine.zero_point));
  index left = count;
  for_each_vector(
      x, stride, count, [&](FloatBatch values) __attribute__((always_inline)) {
        // the bounds are whole, so clamping before rounding gives the same code as after
        const FloatBatch steps = xsimd::max(xsimd::min(values / scale, highest), lowest);
        alignas(64) std::int32_t codes[IntBatch::size];
        (xsimd::nearbyint_as_int(steps) + IntBatch(affine.zero_point)).store_aligned(codes);
        const index now = left < float_lanes ? left : float_lanes;
        for (index i = 0; i < now; ++i) write(static_cast<std::uint8_t>(codes[i]));
        left -= now;
      });
}

/// See `reference::store_key`.
inline bool store_key(const KvPages& keys, const KvPage& page, index slot, const float* x, index stride) noexcept {
  const Affine affine = cache_row_affine(x, keys.head_size, stride, keys.bits, keys.clip);
  const bool finite = is_finite(affine.scale);
  if (slot < page.float_tokens) {
    for (index i = 0; i < keys.head_size; ++i)
      page.values[i * page_tokens + slot] = finite ? x[i * stride] : affine.scale;
    return finite;
  }
  page.scales[slot] = affine.scale;
  page.zero_points[slot] = static_cast<std::uint8_t>(affine.zero_point);
  const int width = kv_code_width(keys.bits);
  const index part = run_bytes(page_tokens, width);
  const auto shift = static_cast<int>(slot / part * width);
  const int kept = ~(((1 << width) - 1) << shift);
  std::uint8_t* byte = page.codes + slot % part;
  for_each_code(x, keys.head_size, stride, affine, keys.bits, [&](std::uint8_t code) {
    *byte = static_cast<std::uint8_t>((*byte & kept) | (code << shift));
    byte += part;
  });
  return finite;
}

/// See `reference::store_value`.
inline bool store_value(const KvPages& values, const KvPage& page, index slot, const float* x, index stride) noexcept {
  const Affine affine = cache_row_affine(x, values.head_size, stride, values.bits, values.clip);
  const bool finite = is_finite(affine.scale);
  if (slot < page.float_tokens) {
    float* out = page.values + slot * value_stride(values.head_size);
    for (index i = 0; i < values.head_size; ++i) out[i] = finite ? x[i * stride] : affine.scale;
    return finite;
  }
  page.scales[slot] = affine.scale;
  page.zero_points[slot] = static_cast<std::uint8_t>(affine.zero_point);
  const int width = kv_code_width(values.bits);
  const index part = run_bytes(values.head_size, width);
  std::uint8_t* run = page.codes + slot * part;
  std::memset(run, 0, static_cast<std::size_t>(part));
  index byte = 0;
  int shift = 0;
  for_each_code(x, values.head_size, stride, affine, values.bits, [&](std::uint8_t code) {
    run[byte] = static_cast<std::uint8_t>(run[byte] | (code << shift));
    if (++byte == part) byte = 0, shift += width;
  });
  return finite;
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
