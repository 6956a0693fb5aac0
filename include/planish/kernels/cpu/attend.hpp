#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/workspace.hpp>
#include <planish/kernels/cpu/attend_codes.hpp>
#include <planish/kernels/cpu/attend_integers.hpp>
#include <planish/kernels/cpu/attend_tiles.hpp>
#include <planish/kernels/cpu/cache_rows.hpp>
#include <planish/kernels/cpu/quantize_rows.hpp>
#include <planish/kernels/cpu/soften.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/kernels/cpu/weight_codes.hpp>
#include <planish/packing/attention.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

namespace detail {

/// Floats between the queries of two lines: whole vectors of sixteen, and whole lines of codes.
[[nodiscard]] constexpr index query_stride(index head_size) noexcept { return value_stride(head_size); }
static_assert(block_lanes % line_steps(2) == 0, "planish: a query row covers whole lines of codes");

/// Everything that belongs to the lines of one call.
struct LineStates {
  float* query;              // [lines][query_stride]
  float* totals;             // [lines][value_stride]
  index* visible;            // [lines], tokens that the line sees
  std::int8_t* query_codes;  // [lines][query_stride], for integer products
  SoftmaxStates softmax;
};

/// What the tiles read of one page: floats, or else codes.
struct PageOperands {
  const float* keys;
  const float* values;
  CodePage key_codes, value_codes;
  AttentionPrecision precision;
  bool integer_weights;
};

/// Σ q e of `Lines` neighbouring lines.
template <int Lines>
inline void score_page(const LineStates& lines, index head_size, const PageOperands& page, index most,
                       float* dots) noexcept {
  const QueryLines queries{lines.query, query_stride(head_size)};
  if (attends_in_integers && page.keys == nullptr && page.precision == AttentionPrecision::q8p8)
    score_integers<Lines>(lines.query_codes, query_stride(head_size), lines.softmax.query_sum, head_size,
                          page.key_codes, dots);
  else if (!attends_to_codes || page.keys != nullptr)
    score_tile<Lines>(queries, head_size, page.keys, most, dots);
  else if constexpr (attends_to_codes)
    score_codes<Lines>(queries, head_size, page.key_codes, dots);
}

/// Adds what the page's values bring to `Lines` neighbouring lines, whose weights are in places `first` and on; `sums`
/// is scratch for their channels.
template <int Lines>
inline void add_page(const LineStates& lines, index head_size, const PageOperands& page, const PageWeights& weights,
                     index first, float* sums) noexcept {
  const index stride = value_stride(head_size);
  const bool integer = page.integer_weights;
  if (attends_in_integers && page.values == nullptr && page.precision == AttentionPrecision::q8p8)
    return add_integers<Lines>(weights, first, page.value_codes, stride, lines.totals);
  const float *w = weights.weight + first * page_tokens, *decay = weights.decay + first,
              *correction = weights.correction + first;
  const index* const counts = weights.count + first;
  constexpr float none[Lines] = {};
  if (integer) std::fill_n(sums, Lines * stride, 0.0f);
  float* const to = integer ? sums : lines.totals;
  if (!attends_to_codes || page.values != nullptr)
    add_values<Lines>(w, counts, integer ? none : decay, correction, page.values, stride, to);
  else if constexpr (attends_to_codes)
    add_value_codes<Lines>(w, counts[Lines - 1], integer ? none : decay, correction, page.value_codes, stride, to);
  for (index l = 0; integer && l < Lines; ++l)
    for (index i = l * stride; i < (l + 1) * stride; i += float_lanes) {
      const FloatBatch old =
          multiply_add(FloatBatch::load_unaligned(lines.totals + i), FloatBatch(decay[l]), FloatBatch(0.0f));
      multiply_add(FloatBatch::load_unaligned(sums + i), FloatBatch(weights.scale[first + l]), old)
          .store_unaligned(lines.totals + i);
    }
}

/// Calls `body(first, constant count)` for `lines` lines in tiles of nearly equal size.
template <class Body>
PLANISH_ALWAYS_INLINE void for_each_tile(index lines, const Body& body) noexcept {
  for (index l = 0; l < lines;) {
    const index left = lines - l, tiles = divide_up(left, tile_lines);
    const auto now = static_cast<int>(divide_up(left, tiles));
    with_constant<tile_lines>(now, [&](auto count) { body(l, count); });
    l += now;
  }
}

/// The lines from `first` on.
[[nodiscard]] inline LineStates from_line(LineStates lines, index first, index head_size) noexcept {
  lines.query += first * query_stride(head_size);
  lines.query_codes += first * query_stride(head_size);
  lines.totals += first * value_stride(head_size);
  lines.visible += first;
  lines.softmax.query_sum += first;
  if (lines.softmax.query_scale != nullptr) lines.softmax.query_scale += first;
  lines.softmax.maximum += first;
  lines.softmax.sum += first;
  return lines;
}

}  // namespace detail

/// Scratch of `attend` for so many lines, per worker.
PLANISH_ENTRY std::size_t attend_scratch_bytes(const Attention& a, index lines) noexcept {
  const index size = a.keys.head_size;
  return buffer_alignment + workspace_bytes<float>(lines * detail::query_stride(size)) +
         workspace_bytes<float>(lines * value_stride(size)) + 4 * workspace_bytes<float>(lines) +
         workspace_bytes<std::int8_t>(lines * detail::query_stride(size)) +
         workspace_bytes<float>(tile_lines * value_stride(size)) + workspace_bytes<index>(lines) +
         workspace_bytes<detail::PageOperands>(most_pages_together) +
         workspace_bytes<PagePairScales>(most_pages_together) + workspace_bytes<float>(spread_key_floats(a.keys)) +
         workspace_bytes<float>(spread_value_floats(a.values)) + workspace_bytes<PageWeights>(1);
}

namespace detail {

/// How many pages from `p` on the lines of a call take together: pages of codes alone that all of them see whole, for
/// lines that meet codes directly.
[[nodiscard]] inline index pages_together(const Attention& a, index kv_head, Range range, index p) noexcept {
  const index count = range.end - range.begin, whole = (a.first_position + range.begin / a.group + 1) / page_tokens;
  const index most = std::min({softened_lines / std::max<index>(count, 1), most_pages_together, whole - p});
  index pages = 0;
  while (pages < most && a.keys.page(kv_head, p + pages).float_tokens == 0 &&
         a.values.page(kv_head, p + pages).float_tokens == 0)
    ++pages;
  return std::max<index>(pages, 1);
}

/// Brings the scales and zero points of a page near.
inline void fetch_scales(const KvPage& page) noexcept {
  if (page.scales == nullptr) return;
  for (index t = 0; t < page_tokens; t += 16) __builtin_prefetch(page.scales + t);
  __builtin_prefetch(page.zero_points);
}

/// Queries times query_scale, zeros behind them, their sums; nothing attended to yet.
PLANISH_LAZY void start_lines(const Attention& a, index kv_head, Range range, const LineStates& lines) noexcept {
  const index size = a.keys.head_size, stride = query_stride(size);
  for (index l = 0; l < range.end - range.begin; ++l) {
    const index line = range.begin + l, row = line / a.group;
    const index first_column = (kv_head * a.group + line % a.group) * size;
    float* const query = lines.query + l * stride;
    std::fill_n(query, stride, 0.0f);
    float* to = query;
    for_each_vector(&a.query(row, first_column), a.query.column_stride(), size, [&](FloatBatch values) {
      (values * FloatBatch(a.query_scale)).store_unaligned(to);
      to += float_lanes;
    });
    if (lines.softmax.query_scale != nullptr)
      lines.softmax.query_scale[l] = quantize_query(query, stride, lines.query_codes + l * stride);
    Sixteen sums;
    unroll<Sixteen::vectors>([&](auto v) { sums.part[v] = FloatBatch(0.0f); });
    for (index i = 0; i < stride; i += 16)
      unroll<Sixteen::vectors>(
          [&](auto v) { sums.part[v] += FloatBatch::load_unaligned(query + i + v * float_lanes); });
    float lanes[16], sum[4];
    sums.store(lanes);
    fold_lanes(lanes, 1, sum, Plus{});
    lines.softmax.query_sum[l] = sum[0];
    lines.visible[l] = a.first_position + row + 1;
    std::fill_n(lines.totals + l * value_stride(size), value_stride(size), 0.0f);
    lines.softmax.maximum[l] = -std::numeric_limits<float>::infinity();
    lines.softmax.sum[l] = 0.0f;
  }
}

/// output = totals / sum; returns how many lines hold NaN or infinity.
PLANISH_LAZY index finish_lines(const Attention& a, index kv_head, Range range, const LineStates& lines) noexcept {
  const index size = a.keys.head_size;
  index not_finite = 0;
  for (index l = 0; l < range.end - range.begin; ++l) {
    const index line = range.begin + l, row = line / a.group;
    const index first_column = (kv_head * a.group + line % a.group) * size;
    float* const result = lines.totals + l * value_stride(size);
    const FloatBatch sum(lines.softmax.sum[l]);
    for (index i = 0; i < size; i += float_lanes)
      divided(FloatBatch::load_unaligned(result + i), sum).store_unaligned(result + i);
    if (a.output.column_stride() == 1)
      std::copy_n(result, size, &a.output(row, first_column));
    else
      for (index i = 0; i < size; ++i) a.output(row, first_column + i) = result[i];
    not_finite += RowRange::of(result, 1, size).finite ? 0 : 1;
  }
  return not_finite;
}

}  // namespace detail

/// The same function as `reference::attend`, equal to it to the bit: lanes are tokens while scores are summed over
/// channels, and channels while values are summed over tokens. All lines of a call share one read of a page: a few meet
/// its codes directly, for more it is spread into floats first.
PLANISH_ENTRY index attend(const Attention& a, index kv_head, Range range, std::span<std::byte> scratch) noexcept {
  const index size = a.keys.head_size, stride = value_stride(size), count = range.end - range.begin;
  Workspace memory(scratch);
  detail::LineStates lines{};
  lines.query = memory.take<float>(count * detail::query_stride(size)).data();
  lines.totals = memory.take<float>(count * stride).data();
  lines.visible = memory.take<index>(count).data();
  lines.query_codes = memory.take<std::int8_t>(count * detail::query_stride(size)).data();
  float* const sums = memory.take<float>(tile_lines * stride).data();
  const bool integer = a.precision != AttentionPrecision::floats;
  float* const query_scales = memory.take<float>(count).data();
  lines.softmax.query_sum = memory.take<float>(count).data();
  lines.softmax.query_scale = integer ? query_scales : nullptr;
  lines.softmax.maximum = memory.take<float>(count).data();
  lines.softmax.sum = memory.take<float>(count).data();
  detail::PageOperands* const operands = memory.take<detail::PageOperands>(most_pages_together).data();
  PagePairScales* const scales = memory.take<PagePairScales>(most_pages_together).data();
  float* const key_scratch = memory.take<float>(spread_key_floats(a.keys)).data();
  float* const value_scratch = memory.take<float>(spread_value_floats(a.values)).data();
  PageWeights& weights = *memory.take<PageWeights>(1).data();
  detail::start_lines(a, kv_head, range, lines);

  const bool few = count <= tile_lines;
  const bool direct = (attends_to_codes && few) || (attends_in_integers && a.precision == AttentionPrecision::q8p8);
  const index most_visible = a.first_position + (range.end - 1) / a.group + 1;
  const auto load = [&](index p, detail::PageOperands& page, PagePairScales& both) noexcept {
    const index first = p * page_tokens, last = (most_visible - 1) / page_tokens;
    const index page_count = std::min(most_visible - first, page_tokens);
    const index next = std::min(p + 2, last);  // far enough ahead for memory to answer
    const KvPage key_page = a.keys.page(kv_head, p), value_page = a.values.page(kv_head, p);
    load_scales(a.keys, key_page, page_count, both.keys);
    load_scales(a.values, value_page, page_count, both.values);
    page.precision = a.precision;
    page.integer_weights = integer && value_page.float_tokens == 0;
    const KvPage next_keys = a.keys.page(kv_head, next), next_values = a.values.page(kv_head, next);
    const index later = std::min(p + most_pages_together, last);  // these are read before codes are
    if (direct) detail::fetch_scales(a.keys.page(kv_head, later)), detail::fetch_scales(a.values.page(kv_head, later));
    if (direct && key_page.float_tokens == 0) {
      page.keys = nullptr;
      page.key_codes = {key_page.codes, next_keys.codes, a.keys.bits, kv_code_width(a.keys.bits)};
      if (!few)
        spread_to_bytes(page.key_codes, code_lines(size, page.key_codes.width), lane_blocks(page_tokens), key_scratch);
    } else {
      page.keys = load_keys(a.keys, key_page, key_scratch);
    }
    if (direct && value_page.float_tokens == 0) {
      page.values = nullptr;
      page.value_codes = {value_page.codes, next_values.codes, a.values.bits, kv_code_width(a.values.bits)};
      if (!few)
        spread_to_bytes(page.value_codes, code_lines(page_count, page.value_codes.width), lane_blocks(size),
                        value_scratch);
    } else {
      page.values = load_values(a.values, value_page, page_count, value_scratch);
    }
  };
  for (index p = 0, pages; p * page_tokens < most_visible; p += pages) {
    pages = direct && few ? detail::pages_together(a, kv_head, range, p) : 1;
    for (index i = 0; i < pages; ++i) load(p + i, operands[i], scales[i]);
    // Lines before this one see nothing of the page.
    const index first = p * page_tokens, first_row = first - a.first_position;
    index l = std::max<index>(first_row * a.group - range.begin, 0);
    for (index now; l < count; l += now) {
      now = std::min(count - l, softened_lines);
      const detail::LineStates some = detail::from_line(lines, l, size);
      for (index page = 0; page < pages; ++page)
        for (index i = 0; i < now; ++i)
          weights.count[page * now + i] = std::min(some.visible[i] - first - page * page_tokens, page_tokens);
      for (index page = 0; page < pages; ++page)
        detail::for_each_tile(now, [&](index i, auto tile) {
          const index place = page * now + i;
          detail::score_page<tile>(detail::from_line(some, i, size), size, operands[page],
                                   weights.count[place + tile - 1], weights.at(place, 0));
        });
      soften(weights, now, pages, some.softmax, scales);
      if (operands[0].integer_weights)
        quantize_weights(weights, now, pages, scales);
      else
        correct_weights(weights, now, pages, scales);
      for (index page = 0; page < pages; ++page)
        detail::for_each_tile(now, [&](index i, auto tile) {
          detail::add_page<tile>(detail::from_line(some, i, size), size, operands[page], weights, page * now + i, sums);
        });
    }
  }
  return detail::finish_lines(a, kv_head, range, lines);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
