#pragma once
// The run-time twin of Quantizer for weights: what recipes and files ask for.
#include <span>

#include <planish/core/executor.hpp>
#include <planish/packing/codes.hpp>
#include <planish/quantizer/min_max.hpp>
#include <planish/quantizer/quantize_tile.hpp>

namespace planish::inline PLANISH_ABI {

/// How weights (out × in) become codes. `group_size`: columns that share a scale, 0 for one scale per row.
struct WeightScheme {
  int bits = 4;
  Symmetry symmetry = Symmetry::symmetric;
  index group_size = 0;
};

namespace detail {

/// Codes of one row, cast to float32 first; `row` holds at least as many floats as there are columns.
template <class T, RangeRule Rule, ScaleRule Scale>
[[nodiscard]] Status quantize_weight_row(MatrixView<const T> w, index r, TileScheme<Scale> scheme, const Rule& rule,
                                         std::span<float> row, Codes& into) noexcept {
  const index columns = w.columns(), groups = into.view().groups(), width = into.view().group_size;
  for (index c = 0; c < columns; ++c) row[static_cast<std::size_t>(c)] = static_cast<float>(w(r, c));
  for (index g = 0; g < groups; ++g) {
    const index first = g * width;
    const MatrixView<const float> tile(row.data() + first, 1, columns - first < width ? columns - first : width);
    const auto at = static_cast<std::size_t>(r * groups + g);
    const auto affine = quantize_tile(tile, scheme, rule, into.codes().data() + r * columns + first, columns, r, first);
    if (!affine) return affine.status();
    into.scales()[at] = affine->scale;
    if (Scale::symmetry == Symmetry::asymmetric) into.zero_points()[at] = static_cast<std::uint8_t>(affine->zero_point);
  }
  return {};
}

template <ScaleRule Scale, class T, RangeRule Rule>
[[nodiscard]] Result<Codes> quantize_weights(MatrixView<const T> w, WeightScheme scheme, const Rule& rule,
                                             std::span<const ClipPair> row_clips, ExecutorReference executor) {
  const index width = scheme.group_size == 0 ? w.columns() : scheme.group_size;
  auto codes = Codes::make(w.rows(), w.columns(), scheme.bits, scheme.symmetry, width);
  if (!codes || w.empty()) return codes;
  const index workers = executor.workers();
  auto rows = AlignedBuffer<float>::make(workers * w.columns());
  if (!rows) return rows.status();
  auto failed = AlignedBuffer<Status>::make(workers);
  if (!failed) return failed.status();
  for (index i = 0; i < workers; ++i) (*failed)[i] = Status{};
  const auto tasks = static_cast<int>(w.rows() < 16 * workers ? w.rows() : 16 * workers);
  executor.run(tasks, [&](int task, int worker) noexcept {
    const Range range = part_of(w.rows(), task, tasks);
    for (index r = range.begin; r < range.end && (*failed)[worker].ok(); ++r) {
      const ClipPair clip = row_clips.empty() ? ClipPair{} : row_clips[static_cast<std::size_t>(r)];
      const std::span<float> row{rows->data() + worker * w.columns(), static_cast<std::size_t>(w.columns())};
      (*failed)[worker] = quantize_weight_row(w, r, TileScheme<Scale>{scheme.bits, clip}, rule, row, *codes);
    }
  });
  for (index i = 0; i < workers; ++i)
    if (!(*failed)[i]) return (*failed)[i];
  return codes;
}

}  // namespace detail

/// Codes of weights (out × in), of float or double that is cast to float32 once. `row_clips`: a clip pair per row
/// (learned weight clipping), or empty. Fails with `not_finite` on NaN or infinity, `invalid_argument`,
/// `shape_mismatch`, `out_of_memory`.
template <class T, class Rule = MinMax>
[[nodiscard]] Result<Codes> quantize_weights(MatrixView<const T> w, const WeightScheme& scheme, const Rule& rule = {},
                                             std::span<const ClipPair> row_clips = {},
                                             ExecutorReference executor = {}) noexcept {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "planish: weights are float or double");
  static_assert(detail::MustBeRangeRule<Rule>, "planish: the rule is no range rule");
  if (!is_code_width(scheme.bits))
    return Status(ErrorCode::invalid_argument, "weights of ", scheme.bits, " bits; codes have 2 to 8");
  if (scheme.group_size < 0) return Status(ErrorCode::invalid_argument, "weights in groups of ", scheme.group_size);
  if (!row_clips.empty() && static_cast<index>(row_clips.size()) != w.rows())
    return Status(ErrorCode::shape_mismatch, row_clips.size(), " clip pairs for ", w.rows(), " rows of weights");
  for (std::size_t r = 0; r < row_clips.size(); ++r)
    if (!is_valid_clip(row_clips[r])) return Status(ErrorCode::invalid_argument, "clip factors are from 2^-20 to 16");
  if (scheme.symmetry == Symmetry::symmetric)
    return detail::quantize_weights<Symmetric>(w, scheme, rule, row_clips, executor);
  return detail::quantize_weights<Asymmetric>(w, scheme, rule, row_clips, executor);
}

}  // namespace planish::inline PLANISH_ABI
