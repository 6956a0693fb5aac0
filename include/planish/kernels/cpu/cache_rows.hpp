#pragma once
// Pages of the key/value cache: whole pages into floats (the scratch of attention), one token into a page.
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/kernels/cpu/isa/widen_bytes.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/kernels/reference/cache_rows.hpp>
#include <planish/packing/kv_pages.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

static_assert(page_tokens % float_lanes == 0 && 16 % float_lanes == 0,
              "planish: cache pages need a register of 4, 8 or 16 floats; use the reference backend");

/// (code − zero) · scale of the codes `Width` bits wide at bit `shift` of each byte.
template <int Width>
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch code_values(IntBatch bytes, int shift, FloatBatch zero,
                                                           FloatBatch scale) noexcept {
  IntBatch codes = bytes;
  if (shift != 0) codes = codes >> shift;
  if (shift + Width < 8) codes = codes & IntBatch((1 << Width) - 1);
  return (xsimd::to_float(codes) - zero) * scale;
}

/// Codes of a key page to floats [head_size][64].
template <int Width>
inline void dequantize_key_page(index head_size, const KvPage& page, float* out) noexcept {
  constexpr int parts = 8 / Width;
  constexpr index part = page_tokens / parts;
  for (index first = 0; first < part; first += float_lanes) {
    FloatBatch zero[parts], scale[parts];
    unroll<parts>([&](auto j) {
      zero[j] = xsimd::to_float(widen_bytes(page.zero_points + j * part + first));
      scale[j] = FloatBatch::load_unaligned(page.scales + j * part + first);
    });
    for (index i = 0; i < head_size; ++i) {
      const IntBatch bytes = widen_bytes(page.codes + i * part + first);
      unroll<parts>([&](auto j) {
        code_values<Width>(bytes, j * Width, zero[j], scale[j])
            .store_unaligned(out + i * page_tokens + j * part + first);
      });
    }
  }
}

/// Codes of one token's value vector to floats; may write up to value_stride(head_size).
template <int Width>
PLANISH_ALWAYS_INLINE void dequantize_value(index head_size, const std::uint8_t* codes, Affine affine,
                                            float* out) noexcept {
  constexpr int parts = 8 / Width;
  const index part = run_bytes(head_size, Width);
  if (part < float_lanes) {
    for (index i = 0; i < head_size; ++i) out[i] = to_value(run_code(codes, part, Width, i), affine);
    return;
  }
  const FloatBatch zero(static_cast<float>(affine.zero_point)), scale(affine.scale);
  for (index i = 0; i < part; i += float_lanes) {
    const index first = i + float_lanes <= part ? i : part - float_lanes;  // the last piece overlaps the one before
    const IntBatch bytes = widen_bytes(codes + first);
    unroll<parts>(
        [&](auto j) { code_values<Width>(bytes, j * Width, zero, scale).store_unaligned(out + j * part + first); });
  }
}

template <int Width>
inline void dequantize_value_page(index head_size, const KvPage& page, index count, float* out) noexcept {
  const index part = run_bytes(head_size, Width), stride = value_stride(head_size);
  for (index t = page.float_tokens; t < count; ++t)
    dequantize_value<Width>(head_size, page.codes + t * part, {page.scales[t], page.zero_points[t]}, out + t * stride);
}

/// The keys of a page as [head_size][64] floats: the page itself if it is float, else `scratch` of that size.
[[nodiscard]] inline const float* load_keys(const KvPages& keys, const KvPage& page, float* scratch) noexcept {
  if (page.float_tokens == page_tokens) return page.values;
  switch (kv_code_width(keys.bits)) {
    case 2:
      dequantize_key_page<2>(keys.head_size, page, scratch);
      break;
    case 4:
      dequantize_key_page<4>(keys.head_size, page, scratch);
      break;
    default:
      dequantize_key_page<8>(keys.head_size, page, scratch);
      break;
  }
  for (index i = 0; page.float_tokens > 0 && i < keys.head_size; ++i)
    std::memcpy(scratch + i * page_tokens, page.values + i * page_tokens,
                static_cast<std::size_t>(page.float_tokens) * sizeof(float));
  return scratch;
}

/// The first `count` values of a page as [64][value_stride] floats: the page itself or `scratch`.
[[nodiscard]] inline const float* load_values(const KvPages& values, const KvPage& page, index count,
                                              float* scratch) noexcept {
  if (page.float_tokens >= count) return page.values;
  switch (kv_code_width(values.bits)) {
    case 2:
      dequantize_value_page<2>(values.head_size, page, count, scratch);
      break;
    case 4:
      dequantize_value_page<4>(values.head_size, page, count, scratch);
      break;
    default:
      dequantize_value_page<8>(values.head_size, page, count, scratch);
      break;
  }
  if (page.float_tokens > 0)
    std::memcpy(scratch, page.values,
                static_cast<std::size_t>(page.float_tokens * value_stride(values.head_size)) * sizeof(float));
  return scratch;
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
