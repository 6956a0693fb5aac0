#pragma once
// What attention reads of a page: floats, in place or spread into scratch, and the scales and zero points of codes.
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/kernels/cpu/isa/widen_bytes.hpp>
#include <planish/kernels/cpu/page_codes.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/packing/kv_pages.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

static_assert(page_tokens % float_lanes == 0 && block_lanes % float_lanes == 0,
              "planish: cache pages need a register of 4, 8 or 16 floats; use the reference backend");

/// Floats that the keys, or the values, of a page take when they are spread.
[[nodiscard]] constexpr index spread_key_floats(const KvPages& keys) noexcept {
  const index steps = keys.bits == 16 ? 1 : line_steps(kv_code_width(keys.bits));
  return round_up(keys.head_size, steps) * page_tokens;
}
[[nodiscard]] constexpr index spread_value_floats(const KvPages& values) noexcept {
  return value_page_floats(values.head_size);
}

/// Scales of a page's tokens and zero points less the centre, as `reference::attend` uses them; 1 and 0 for tokens that
/// are floats, 0 and 0 from the end of the sequence on. Nothing of it is set if all of them are floats.
struct PageScales {
  alignas(64) float scale[page_tokens];
  alignas(64) float zero[page_tokens];
  index float_tokens;
  bool has_codes;
};

PLANISH_LAZY void load_scales(const KvPages& pages, const KvPage& page, index count, PageScales& to) noexcept {
  to.float_tokens = page.float_tokens;
  to.has_codes = page.float_tokens < count;
  if (!to.has_codes) return;
  const FloatBatch centre(static_cast<float>(code_centre(pages.bits)));
  for (index t = 0; t < page_tokens; t += float_lanes) {
    FloatBatch::load_unaligned(page.scales + t).store_aligned(to.scale + t);
    (xsimd::to_float(widen_bytes(page.zero_points + t)) - centre).store_aligned(to.zero + t);
  }
  for (index t = 0; t < page.float_tokens; ++t) to.scale[t] = 1.0f, to.zero[t] = 0.0f;
  for (index t = count; t < page_tokens; ++t) to.scale[t] = 0.0f, to.zero[t] = 0.0f;
}

/// The keys of a page as [head_size][64] floats: the page itself if it is float, else `scratch`; floats of tokens, or
/// codes less the centre.
PLANISH_LAZY [[nodiscard]] const float* load_keys(const KvPages& keys, const KvPage& page, float* scratch) noexcept {
  if (page.float_tokens == page_tokens) return page.values;
  spread_codes(page.codes, keys.bits, code_lines(keys.head_size, kv_code_width(keys.bits)), lane_blocks(page_tokens),
               scratch);
  for (index i = 0; page.float_tokens > 0 && i < keys.head_size; ++i)
    std::memcpy(scratch + i * page_tokens, page.values + i * page_tokens,
                static_cast<std::size_t>(page.float_tokens) * sizeof(float));
  return scratch;
}

/// The first `count` values of a page as [64][value_stride] floats: the page itself or `scratch`.
PLANISH_LAZY [[nodiscard]] const float* load_values(const KvPages& values, const KvPage& page, index count,
                                                    float* scratch) noexcept {
  if (page.float_tokens >= count) return page.values;
  spread_codes(page.codes, values.bits, code_lines(count, kv_code_width(values.bits)), lane_blocks(values.head_size),
               scratch);
  if (page.float_tokens > 0)
    std::memcpy(scratch, page.values,
                static_cast<std::size_t>(page.float_tokens * value_stride(values.head_size)) * sizeof(float));
  return scratch;
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
