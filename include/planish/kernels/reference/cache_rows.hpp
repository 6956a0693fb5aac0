#pragma once
// One token of one KV head into a page, and back.
#include <limits>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/packing/kv_pages.hpp>

namespace planish::inline PLANISH_ABI::kernels::reference {

/// The asymmetric Affine of `count` values, `stride` elements apart; not_finite_affine() if one is NaN or infinite.
[[nodiscard]] inline Affine cache_row_affine(const float* x, index count, index stride, int bits,
                                             ClipPair clip) noexcept {
  ValueRange range;
  for (index i = 0; i < count; ++i) {
    const float value = x[i * stride];
    if (!is_finite(value)) return not_finite_affine();
    if (value < range.lowest) range.lowest = value;
    if (value > range.highest) range.highest = value;
  }
  return bits == 16 ? Affine{} : asymmetric_affine(range, clip, bits);
}

/// Writes a key of `keys.head_size` elements, `stride` apart, as token `slot` of the page. False if it held NaN or
/// infinity: then every element reads back as NaN.
inline bool store_key(const KvPages& keys, const KvPage& page, index slot, const float* x, index stride) noexcept {
  const Affine affine = cache_row_affine(x, keys.head_size, stride, keys.bits, keys.clip);
  const bool finite = is_finite(affine.scale);
  if (slot < page.float_tokens) {
    for (index i = 0; i < keys.head_size; ++i)
      page.values[i * page_tokens + slot] = finite ? x[i * stride] : affine.scale;
    return finite;
  }
  const int width = kv_code_width(keys.bits);
  const index part = run_bytes(page_tokens, width);
  const CodeRange range = code_range(keys.bits, Symmetry::asymmetric);
  page.scales[slot] = affine.scale;
  page.zero_points[slot] = static_cast<std::uint8_t>(affine.zero_point);
  for (index i = 0; i < keys.head_size; ++i)
    set_run_code(page.codes + i * part, part, width, slot, finite ? to_code(x[i * stride], affine, range) : 0);
  return finite;
}

/// The same for a value vector.
inline bool store_value(const KvPages& values, const KvPage& page, index slot, const float* x, index stride) noexcept {
  const Affine affine = cache_row_affine(x, values.head_size, stride, values.bits, values.clip);
  const bool finite = is_finite(affine.scale);
  if (slot < page.float_tokens) {
    float* out = page.values + slot * value_stride(values.head_size);
    for (index i = 0; i < values.head_size; ++i) out[i] = finite ? x[i * stride] : affine.scale;
    return finite;
  }
  const int width = kv_code_width(values.bits);
  const index part = run_bytes(values.head_size, width);
  const CodeRange range = code_range(values.bits, Symmetry::asymmetric);
  page.scales[slot] = affine.scale;
  page.zero_points[slot] = static_cast<std::uint8_t>(affine.zero_point);
  for (index i = 0; i < values.head_size; ++i)
    set_run_code(page.codes + slot * part, part, width, i, finite ? to_code(x[i * stride], affine, range) : 0);
  return finite;
}

/// Element i of the key stored as token `slot`.
[[nodiscard]] inline float key_element(const KvPages& keys, const KvPage& page, index slot, index i) noexcept {
  if (slot < page.float_tokens) return page.values[i * page_tokens + slot];
  const int width = kv_code_width(keys.bits);
  const index part = run_bytes(page_tokens, width);
  return to_value(run_code(page.codes + i * part, part, width, slot), {page.scales[slot], page.zero_points[slot]});
}

/// Element i of the value stored as token `slot`.
[[nodiscard]] inline float value_element(const KvPages& values, const KvPage& page, index slot, index i) noexcept {
  if (slot < page.float_tokens) return page.values[slot * value_stride(values.head_size) + i];
  const int width = kv_code_width(values.bits);
  const index part = run_bytes(values.head_size, width);
  return to_value(run_code(page.codes + slot * part, part, width, i), {page.scales[slot], page.zero_points[slot]});
}

}  // namespace planish::inline PLANISH_ABI::kernels::reference
