#pragma once
#include <cstddef>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/workspace.hpp>
#include <planish/kernels/cpu/attend_tiles.hpp>
#include <planish/kernels/cpu/cache_rows.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/packing/attention.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Scratch of `attend` for so many lines, per worker.
[[nodiscard]] constexpr std::size_t attend_scratch_bytes(const Attention& a, index lines) noexcept {
  const index size = a.keys.head_size;
  return buffer_alignment + workspace_bytes<float>(lines * size) + workspace_bytes<float>(lines * value_stride(size)) +
         workspace_bytes<SoftmaxState>(lines) + workspace_bytes<float>(key_page_floats(size)) +
         workspace_bytes<float>(value_page_floats(size)) + workspace_bytes<float>(tile_lines * page_tokens);
}

namespace detail {

/// One page of tokens for `Lines` neighbouring lines; counts[l] tokens of it are visible to line l.
template <int Lines>
inline void attend_page(const float* query, index head_size, const float* keys, const float* values,
                        const index* counts, float* scores, SoftmaxState* states, float* totals) noexcept {
  float decay[Lines];
  score_tile<Lines>(query, head_size, keys, counts[Lines - 1], scores);
  soften<Lines>(scores, counts, states, decay);
  add_values<Lines>(scores, counts, decay, values, value_stride(head_size), totals);
}

}  // namespace detail

/// The same function as `reference::attend`, equal to it to the bit: lanes are tokens while scores are summed over
/// channels, and channels while values are summed over tokens. A page is dequantized once for all the lines.
inline index attend(const Attention& a, index kv_head, Range lines, std::span<std::byte> scratch) noexcept {
  const index size = a.keys.head_size, stride = value_stride(size), count = lines.end - lines.begin;
  Workspace memory(scratch);
  float* query = memory.take<float>(count * size).data();
  float* totals = memory.take<float>(count * stride).data();
  SoftmaxState* states = memory.take<SoftmaxState>(count).data();
  float* key_scratch = memory.take<float>(key_page_floats(size)).data();
  float* value_scratch = memory.take<float>(value_page_floats(size)).data();
  float* scores = memory.take<float>(tile_lines * page_tokens).data();

  for (index l = 0; l < count; ++l) {
    const index line = lines.begin + l, row = line / a.group;
    const index first_column = (kv_head * a.group + line % a.group) * size;
    for (index i = 0; i < size; ++i) query[l * size + i] = a.query(row, first_column + i) * a.query_scale;
    for (index i = 0; i < stride; ++i) totals[l * stride + i] = 0.0f;
    states[l] = {};
  }

  const index most_visible = a.first_position + (lines.end - 1) / a.group + 1;
  for (index first = 0; first < most_visible; first += page_tokens) {
    const index page_count = most_visible - first < page_tokens ? most_visible - first : page_tokens;
    const KvPage key_page = a.keys.page(kv_head, first / page_tokens);
    const KvPage value_page = a.values.page(kv_head, first / page_tokens);
    const float* keys = load_keys(a.keys, key_page, key_scratch);
    const float* values = load_values(a.values, value_page, page_count, value_scratch);
    // Lines before this one see nothing of the page.
    const index first_row = first - a.first_position;
    index l = first_row * a.group - lines.begin;
    l = l < 0 ? 0 : l;
    while (l < count) {
      const index left = count - l;
      const index tiles = (left + tile_lines - 1) / tile_lines;
      const auto now = static_cast<int>((left + tiles - 1) / tiles);
      index counts[tile_lines];
      for (int i = 0; i < now; ++i) {
        const index visible = a.first_position + (lines.begin + l + i) / a.group + 1 - first;
        counts[i] = visible < page_tokens ? visible : page_tokens;
      }
      with_constant<tile_lines>(now, [&](auto lines_now) {
        detail::attend_page<lines_now>(query + l * size, size, keys, values, counts, scores, states + l,
                                       totals + l * stride);
      });
      l += now;
    }
  }

  index not_finite = 0;
  for (index l = 0; l < count; ++l) {
    const index line = lines.begin + l, row = line / a.group;
    const index first_column = (kv_head * a.group + line % a.group) * size;
    bool finite = true;
    for (index i = 0; i < size; ++i) {
      const float value = totals[l * stride + i] / states[l].sum;
      finite = finite && is_finite(value);
      a.output(row, first_column + i) = value;
    }
    not_finite += finite ? 0 : 1;
  }
  return not_finite;
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
