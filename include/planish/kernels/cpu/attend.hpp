#pragma once
#include <cstddef>
#include <limits>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/workspace.hpp>
#include <planish/kernels/cpu/attend_codes.hpp>
#include <planish/kernels/cpu/attend_tiles.hpp>
#include <planish/kernels/cpu/cache_rows.hpp>
#include <planish/kernels/cpu/soften.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/packing/attention.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

namespace detail {

/// Floats between the queries of two lines: whole vectors of sixteen, and whole lines of codes.
[[nodiscard]] constexpr index query_stride(index head_size) noexcept { return value_stride(head_size); }
static_assert(block_lanes % line_steps(2) == 0, "planish: a query row covers whole lines of codes");

/// Everything that belongs to the lines of one call.
struct LineStates {
  float* query;       // [lines][query_stride]
  float* query_sums;  // [lines]
  float* totals;      // [lines][value_stride]
  SoftmaxStates softmax;
};

/// What the tiles read of one page: floats, or else codes.
struct PageOperands {
  const float* keys;
  const float* values;
  CodePage key_codes, value_codes;
  index float_keys;
  bool weighs;  // some values are codes
  PageScales key_scales, value_scales;
};

/// One page of tokens for `Lines` neighbouring lines; counts[l] tokens of it are visible to line l.
template <int Lines>
inline void attend_page(const LineStates& lines, index head_size, const PageOperands& page, const index* counts,
                        float* scores) noexcept {
  const index stride = value_stride(head_size), most = counts[Lines - 1];
  float decay[Lines], correction[Lines];
  const QueryLines queries{lines.query, query_stride(head_size), lines.query_sums};
  const FinishScores finish(page.key_scales, page.float_keys);
  if (!attends_to_codes || page.keys != nullptr)
    score_tile<Lines>(queries, head_size, page.keys, most, finish, scores);
  else if constexpr (attends_to_codes)
    score_codes<Lines>(queries, head_size, page.key_codes, finish, scores);
  soften<Lines>(scores, counts, lines.softmax, page.weighs ? &page.value_scales : nullptr, decay, correction);
  if (!attends_to_codes || page.values != nullptr)
    add_values<Lines>(scores, counts, decay, correction, page.values, stride, lines.totals);
  else if constexpr (attends_to_codes)
    add_value_codes<Lines>(scores, most, decay, correction, page.value_codes, stride, lines.totals);
}

/// Lines [first, first + ...) of the call.
[[nodiscard]] inline LineStates from_line(const LineStates& all, index first, index head_size) noexcept {
  return {all.query + first * query_stride(head_size), all.query_sums + first,
          all.totals + first * value_stride(head_size), {all.softmax.maximum + first, all.softmax.sum + first}};
}

}  // namespace detail

/// Scratch of `attend` for so many lines, per worker.
[[nodiscard]] constexpr std::size_t attend_scratch_bytes(const Attention& a, index lines) noexcept {
  const index size = a.keys.head_size;
  return buffer_alignment + workspace_bytes<float>(lines * detail::query_stride(size)) +
         workspace_bytes<float>(lines * value_stride(size)) + 3 * workspace_bytes<float>(lines) +
         workspace_bytes<detail::PageOperands>(1) + workspace_bytes<float>(spread_key_floats(a.keys)) +
         workspace_bytes<float>(spread_value_floats(a.values)) + workspace_bytes<float>(tile_lines * page_tokens);
}

namespace detail {

/// Brings the scales and zero points of a page near.
inline void fetch_scales(const KvPage& page) noexcept {
  if (page.scales == nullptr) return;
  for (index t = 0; t < page_tokens; t += 16) __builtin_prefetch(page.scales + t);
  __builtin_prefetch(page.zero_points);
}

/// Queries times query_scale, zeros behind them, their sums; nothing attended to yet.
inline void start_lines(const Attention& a, index kv_head, Range range, const LineStates& lines) noexcept {
  const index size = a.keys.head_size, stride = query_stride(size);
  constexpr auto plus = [](auto x, auto y) __attribute__((always_inline)) { return x + y; };
  for (index l = 0; l < range.end - range.begin; ++l) {
    const index line = range.begin + l, row = line / a.group;
    const index first_column = (kv_head * a.group + line % a.group) * size;
    float* const query = lines.query + l * stride;
    for (index i = 0; i < size; ++i) query[i] = a.query(row, first_column + i) * a.query_scale;
    for (index i = size; i < stride; ++i) query[i] = 0.0f;
    Sixteen sums[1];
    unroll<Sixteen::vectors>([&](auto v) { sums[0].part[v] = FloatBatch(0.0f); });
    for (index i = 0; i < stride; i += 16)
      unroll<Sixteen::vectors>(
          [&](auto v) { sums[0].part[v] += FloatBatch::load_unaligned(query + i + v * float_lanes); });
    fold_lanes(sums, lines.query_sums + l, plus, plus);
    for (index i = 0; i < value_stride(size); ++i) lines.totals[l * value_stride(size) + i] = 0.0f;
    lines.softmax.maximum[l] = -std::numeric_limits<float>::infinity();
    lines.softmax.sum[l] = 0.0f;
  }
}

/// output = totals / sum; returns how many lines hold NaN or infinity.
inline index finish_lines(const Attention& a, index kv_head, Range range, const LineStates& lines) noexcept {
  const index size = a.keys.head_size;
  index not_finite = 0;
  for (index l = 0; l < range.end - range.begin; ++l) {
    const index line = range.begin + l, row = line / a.group;
    const index first_column = (kv_head * a.group + line % a.group) * size;
    bool finite = true;
    for (index i = 0; i < size; ++i) {
      const float value = lines.totals[l * value_stride(size) + i] / lines.softmax.sum[l];
      finite = finite && is_finite(value);
      a.output(row, first_column + i) = value;
    }
    not_finite += finite ? 0 : 1;
  }
  return not_finite;
}

}  // namespace detail

/// The same function as `reference::attend`, equal to it to the bit: lanes are tokens while scores are summed over
/// channels, and channels while values are summed over tokens. All lines of a call share one read of a page: a few meet
/// its codes directly, for more it is spread into floats first.
inline index attend(const Attention& a, index kv_head, Range range, std::span<std::byte> scratch) noexcept {
  const index size = a.keys.head_size, stride = value_stride(size), count = range.end - range.begin;
  Workspace memory(scratch);
  detail::LineStates lines{};
  lines.query = memory.take<float>(count * detail::query_stride(size)).data();
  lines.totals = memory.take<float>(count * stride).data();
  lines.query_sums = memory.take<float>(count).data();
  lines.softmax = {memory.take<float>(count).data(), memory.take<float>(count).data()};
  detail::PageOperands& page = *memory.take<detail::PageOperands>(1).data();
  float* const key_scratch = memory.take<float>(spread_key_floats(a.keys)).data();
  float* const value_scratch = memory.take<float>(spread_value_floats(a.values)).data();
  float* const scores = memory.take<float>(tile_lines * page_tokens).data();
  detail::start_lines(a, kv_head, range, lines);

  const bool direct = attends_to_codes && count <= tile_lines;
  const index most_visible = a.first_position + (range.end - 1) / a.group + 1;
  for (index first = 0; first < most_visible; first += page_tokens) {
    const index page_count = most_visible - first < page_tokens ? most_visible - first : page_tokens;
    const index p = first / page_tokens, next = first + page_tokens < most_visible ? p + 1 : p;
    const KvPage key_page = a.keys.page(kv_head, p), value_page = a.values.page(kv_head, p);
    page.float_keys = key_page.float_tokens;
    page.weighs = value_page.float_tokens < page_count;
    if (key_page.float_tokens < page_tokens) load_scales(a.keys, key_page, page_count, page.key_scales);
    if (page.weighs) load_scales(a.values, value_page, page_count, page.value_scales);
    const KvPage next_keys = a.keys.page(kv_head, next), next_values = a.values.page(kv_head, next);
    if (direct) detail::fetch_scales(next_keys), detail::fetch_scales(next_values);
    if (direct && key_page.float_tokens == 0) {
      page.keys = nullptr;
      page.key_codes = {key_page.codes, next_keys.codes, a.keys.bits};
    } else {
      page.keys = load_keys(a.keys, key_page, key_scratch);
    }
    if (direct && value_page.float_tokens == 0) {
      page.values = nullptr;
      page.value_codes = {value_page.codes, next_values.codes, a.values.bits};
    } else {
      page.values = load_values(a.values, value_page, page_count, value_scratch);
    }
    // Lines before this one see nothing of the page.
    const index first_row = first - a.first_position;
    index l = first_row * a.group - range.begin;
    l = l < 0 ? 0 : l;
    while (l < count) {
      const index left = count - l;
      const index tiles = (left + tile_lines - 1) / tile_lines;
      const auto now = static_cast<int>((left + tiles - 1) / tiles);
      index counts[tile_lines];
      for (int i = 0; i < now; ++i) {
        const index visible = a.first_position + (range.begin + l + i) / a.group + 1 - first;
        counts[i] = visible < page_tokens ? visible : page_tokens;
      }
      with_constant<tile_lines>(now, [&](auto lines_now) {
        detail::attend_page<lines_now>(detail::from_line(lines, l, size), size, page, counts, scores);
      });
      l += now;
    }
  }
  return detail::finish_lines(a, kv_head, range, lines);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
