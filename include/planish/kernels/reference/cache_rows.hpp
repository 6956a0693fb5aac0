#pragma once
// One token of one KV head into a page, and back.
#include <algorithm>
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
    range.lowest = std::min(range.lowest, value);
    range.highest = std::max(range.highest, value);
  }
  return bits == 16 ? Affine{} : asymmetric_affine(range, clip, bits);
}

[[nodiscard]] inline int page_code(const std::uint8_t* codes, CodePlace place, int width) noexcept {
  return (codes[place.byte] >> place.bit) & ((1 << width) - 1);
}

/// Writes one code and leaves its neighbours.
inline void set_page_code(std::uint8_t* codes, CodePlace place, int width, int code) noexcept {
  const int kept = codes[place.byte] & ~(((1 << width) - 1) << place.bit);
  codes[place.byte] = static_cast<std::uint8_t>(kept | (code << place.bit));
}

/// Writes a key of `keys.head_size` elements, `stride` apart, as token `slot` of the page. False if it held NaN or
/// infinity: then every element reads back as NaN.
inline bool store_key(const KvPages& keys, const KvPage& page, index slot, const float* x, index stride) noexcept {
  const index size = keys.head_size;
  const Affine affine = cache_row_affine(x, size, stride, keys.bits, keys.clip);
  const bool finite = is_finite(affine.scale);
  if (slot < page.float_tokens) {
    for (index i = 0; i < size; ++i) page.values[i * page_tokens + slot] = finite ? x[i * stride] : affine.scale;
    return finite;
  }
  const int width = kv_code_width(keys.bits);
  const CodeRange range = code_range(keys.bits, Symmetry::asymmetric);
  page.scales[slot] = affine.scale;
  page.zero_points[slot] = static_cast<std::uint8_t>(affine.zero_point);
  for (index i = 0; i < code_lines(size, width) * line_steps(width); ++i)
    set_page_code(page.codes, code_place(slot, i, lane_blocks(page_tokens), width), width,
                  finite && i < size ? to_code(x[i * stride], affine, range) : 0);
  return finite;
}

/// The same for a value vector.
inline bool store_value(const KvPages& values, const KvPage& page, index slot, const float* x, index stride) noexcept {
  const index size = values.head_size;
  const Affine affine = cache_row_affine(x, size, stride, values.bits, values.clip);
  const bool finite = is_finite(affine.scale);
  if (slot < page.float_tokens) {
    float* out = page.values + slot * value_stride(size);
    for (index i = 0; i < size; ++i) out[i] = finite ? x[i * stride] : affine.scale;
    return finite;
  }
  const int width = kv_code_width(values.bits);
  const CodeRange range = code_range(values.bits, Symmetry::asymmetric);
  page.scales[slot] = affine.scale;
  page.zero_points[slot] = static_cast<std::uint8_t>(affine.zero_point);
  for (index i = 0; i < value_stride(size); ++i)
    set_page_code(page.codes, code_place(i, slot, lane_blocks(size), width), width,
                  finite && i < size ? to_code(x[i * stride], affine, range) : 0);
  return finite;
}

/// Channel i of the key stored as token `slot`: its float, or its code less the centre.
[[nodiscard]] inline float key_element(const KvPages& keys, const KvPage& page, index slot, index i) noexcept {
  if (slot < page.float_tokens) return page.values[i * page_tokens + slot];
  const int width = kv_code_width(keys.bits);
  const CodePlace place = code_place(slot, i, lane_blocks(page_tokens), width);
  return static_cast<float>(page_code(page.codes, place, width) - code_centre(keys.bits));
}

/// Channel i of the value stored as token `slot`: its float, or its code less the centre.
[[nodiscard]] inline float value_element(const KvPages& values, const KvPage& page, index slot, index i) noexcept {
  if (slot < page.float_tokens) return page.values[slot * value_stride(values.head_size) + i];
  const int width = kv_code_width(values.bits);
  const CodePlace place = code_place(i, slot, lane_blocks(values.head_size), width);
  return static_cast<float>(page_code(page.codes, place, width) - code_centre(values.bits));
}

/// Zero point of token `slot`, less the centre.
[[nodiscard]] inline float centred_zero(const KvPages& pages, const KvPage& page, index slot) noexcept {
  return static_cast<float>(page.zero_points[slot] - code_centre(pages.bits));
}

}  // namespace planish::inline PLANISH_ABI::kernels::reference
