#pragma once
// What a producer takes from the transform of the site behind it, in float64 and in place.
#include <algorithm>
#include <cmath>
#include <concepts>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/array.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/transform/in_place.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

/// Producer side, linear → linear: every output row y of the producer becomes T(y): W ← Aᵀ W, b ← T(b), in float64 and
/// in place. w: n × in; bias: n values, or empty where no stage has an offset.
template <class S>
[[nodiscard]] Status absorb_into_producer(const S& transform, MatrixView<double> w, std::span<double> bias = {}) {
  static_assert(detail::MustBeStage<S>, "planish: the transform is no stage");
  const index n = transform.size();
  if (n != w.rows() || (!bias.empty() && static_cast<index>(bias.size()) != n))
    return Status(ErrorCode::shape_mismatch, "absorb: the transform has ", n, " channels, the producer ", w.rows(),
                  " rows and ", bias.size(), " biases");
  Array<double> offset(static_cast<std::size_t>(n), 0.0);  // T(0) = −z A
  detail::apply_in_place(transform, MatrixView<double>(offset.data(), 1, n));
  const bool moves_origin = std::any_of(offset.begin(), offset.end(), [](double value) { return value != 0.0; });
  if (moves_origin && bias.empty())
    return Status(ErrorCode::unsupported, "absorb: a transform with an offset needs a producer with a bias");
  detail::apply_in_place(transform, w.transposed());
  if (moves_origin)
    for (index c = 0; c < w.columns(); ++c)
      for (index r = 0; r < n; ++r) w(r, c) -= offset[static_cast<std::size_t>(r)];
  if (!bias.empty()) detail::apply_in_place(transform, MatrixView<double>(bias.data(), 1, n));
  return {};
}

/// Other elements, for a sentence.
template <class S, class W, class... Bias>
requires(!std::same_as<W, double>) [[nodiscard]] Status absorb_into_producer(const S&, MatrixView<W>, Bias&&...) {
  static_assert(std::same_as<W, double>, "planish: producers absorb in double, in place; copy their weights first");
  return {};
}

/// Norm gain (and the bias of a LayerNorm): gain ← gain · s, bias ← T(bias), for transforms that are diagonal up to an
/// offset; anything else is refused. bias may be empty where no stage has an offset.
template <class S>
[[nodiscard]] Status absorb_into_norm(const S& transform, std::span<double> gain, std::span<double> bias = {}) {
  static_assert(detail::MustBeStage<S>, "planish: the transform is no stage");
  const index n = transform.size();
  if (static_cast<index>(gain.size()) != n || (!bias.empty() && bias.size() != gain.size()))
    return Status(ErrorCode::shape_mismatch, "absorb: the transform has ", n, " channels, the norm ", gain.size(),
                  " gains and ", bias.size(), " biases");
  Array<double> offset(gain.size(), 0.0), factors(gain.size(), 1.0), probe(gain.size());
  const auto view = [n](Array<double>& row) { return MatrixView<double>(row.data(), 1, n); };
  detail::apply_in_place(transform, view(offset));
  detail::apply_in_place(transform, view(factors));
  for (std::size_t c = 0; c < gain.size(); ++c) {
    factors[c] -= offset[c];
    probe[c] = static_cast<double>(c + 2);
  }
  detail::apply_in_place(transform, view(probe));
  for (std::size_t c = 0; c < gain.size(); ++c) {
    const double expected = factors[c] * static_cast<double>(c + 2) + offset[c];
    if (!(std::fabs(probe[c] - expected) <= 1e-9 * (std::fabs(expected) + std::fabs(offset[c]))))
      return Status(ErrorCode::unsupported, "absorb: only Shift and Scale fit into a norm; channel ", c, " is mixed");
    if (offset[c] != 0.0 && bias.empty())
      return Status(ErrorCode::unsupported, "absorb: a transform with an offset needs a norm with a bias");
  }
  for (std::size_t c = 0; c < gain.size(); ++c) {
    gain[c] *= factors[c];
    if (!bias.empty()) bias[c] = bias[c] * factors[c] + offset[c];
  }
  return {};
}

namespace detail {

/// Fills `all` (query heads) from `shared` (KV heads): every KV head is read by each query head of its group.
inline void spread_heads(const Array<double>& shared, index head_size, index group, Array<double>& all) {
  for (std::size_t i = 0; i < all.size(); ++i) {
    const index head = static_cast<index>(i) / head_size, channel = static_cast<index>(i) % head_size;
    all[i] = shared[static_cast<std::size_t>(head / group * head_size + channel)];
  }
}

/// The inverse; false where query heads of one group differ.
[[nodiscard]] inline bool gather_heads(const Array<double>& all, index head_size, index group, Array<double>& shared) {
  double largest = 0.0;
  for (double value : all) largest = std::fmax(largest, std::fabs(value));
  for (std::size_t i = 0; i < shared.size(); ++i) {
    const index head = static_cast<index>(i) / head_size, channel = static_cast<index>(i) % head_size;
    const auto first = static_cast<std::size_t>(head * group * head_size + channel);
    shared[i] = all[first];
    for (index other = 1; other < group; ++other)
      if (!(std::fabs(all[first + static_cast<std::size_t>(other * head_size)] - all[first]) <= 1e-12 * largest))
        return false;
  }
  return true;
}

/// True if no channel of one head reaches another head.
template <TransformStage S>
[[nodiscard]] bool keeps_heads_apart(const S& transform, std::span<const double> offset, index head_size) {
  const index n = transform.size();
  Array<double> row(static_cast<std::size_t>(n));
  for (index head = 0; head < n; head += head_size) {
    for (index c = 0; c < n; ++c)
      row[static_cast<std::size_t>(c)] = c >= head && c < head + head_size ? static_cast<double>(c - head + 1) : 0.0;
    apply_in_place(transform, MatrixView<double>(row.data(), 1, n));
    for (index c = 0; c < n; ++c)
      if ((c < head || c >= head + head_size) &&
          row[static_cast<std::size_t>(c)] != offset[static_cast<std::size_t>(c)])
        return false;
  }
  return true;
}

}  // namespace detail

/// Values of attention (v → o): what the transform of the attention output does within each head moves into the rows of
/// the value projection, shared by the query heads of a group. transform: query heads · head size channels; w: KV heads
/// · head size × in; bias: one per row, or empty where no stage has an offset (rows of attention sum to 1, so offsets
/// pass through). Refuses transforms that mix heads or that differ between the query heads of a KV head.
template <class S>
[[nodiscard]] Status absorb_into_values(const S& transform, index head_size, MatrixView<double> w,
                                        std::span<double> bias = {}) {
  static_assert(detail::MustBeStage<S>, "planish: the transform is no stage");
  const index n = transform.size(), rows = w.rows();
  if (head_size < 1 || rows < 1 || rows % head_size != 0 || n % rows != 0 ||
      (!bias.empty() && static_cast<index>(bias.size()) != rows))
    return Status(ErrorCode::shape_mismatch, "absorb: the transform has ", n, " channels, the values ", rows,
                  " rows and ", bias.size(), " biases in heads of ", head_size);
  const index group = n / rows;
  Array<double> offset(static_cast<std::size_t>(n), 0.0), all(offset.size());
  Array<double> shared(static_cast<std::size_t>(rows)), shared_offset(shared.size());
  detail::apply_in_place(transform, MatrixView<double>(offset.data(), 1, n));
  const Status differs(ErrorCode::unsupported,
                       "absorb: the transform differs between query heads that share one head of values");
  if (!detail::keeps_heads_apart(transform, offset, head_size))
    return Status(ErrorCode::unsupported, "absorb: the transform mixes heads of ", head_size,
                  " channels; only maps within heads pass through attention");
  if (!detail::gather_heads(offset, head_size, group, shared_offset)) return differs;
  const bool moves_origin = std::any_of(offset.begin(), offset.end(), [](double value) { return value != 0.0; });
  if (moves_origin && bias.empty())
    return Status(ErrorCode::unsupported, "absorb: a transform with an offset needs values with a bias");
  Array<double> result(static_cast<std::size_t>(rows * (w.columns() + 1)), 0.0);  // the last column is the bias
  for (index c = 0; c < w.columns() + (bias.empty() ? 0 : 1); ++c) {
    const bool is_bias = c == w.columns();
    for (index r = 0; r < rows; ++r)
      shared[static_cast<std::size_t>(r)] = is_bias ? bias[static_cast<std::size_t>(r)] : w(r, c);
    detail::spread_heads(shared, head_size, group, all);
    detail::apply_in_place(transform, MatrixView<double>(all.data(), 1, n));
    if (!detail::gather_heads(all, head_size, group, shared)) return differs;
    for (index r = 0; r < rows; ++r)
      result[static_cast<std::size_t>(r * (w.columns() + 1) + c)] =
          shared[static_cast<std::size_t>(r)] - (is_bias ? 0.0 : shared_offset[static_cast<std::size_t>(r)]);
  }
  for (index r = 0; r < rows; ++r) {
    const double* from = result.data() + r * (w.columns() + 1);
    for (index c = 0; c < w.columns(); ++c) w(r, c) = from[c];
    if (!bias.empty()) bias[static_cast<std::size_t>(r)] = from[w.columns()];
  }
  return {};
}

}  // namespace planish::inline PLANISH_ABI
