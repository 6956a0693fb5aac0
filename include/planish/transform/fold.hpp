#pragma once
#include <algorithm>
#include <cmath>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/transform/identity.hpp>
#include <planish/transform/producer.hpp>
#include <planish/transform/stage.hpp>
#include <planish/transform/transform.hpp>

namespace planish::inline PLANISH_ABI {

namespace detail {

/// Replaces the rows of w by what the stage makes of them, a few rows at a time.
template <TransformStage S>
void apply_in_place(const S& stage, MatrixView<double> w) {
  constexpr index tile_rows = 16;
  const index tile = std::min(tile_rows, w.rows()), n = w.columns();
  std::vector<double> in(static_cast<std::size_t>(tile * n)), out(in.size());
  std::vector<double> scratch(static_cast<std::size_t>(stage.scratch_size(tile)));
  for (index first = 0; first < w.rows(); first += tile) {
    const index rows = std::min(tile, w.rows() - first);
    const MatrixView<double> block = w.middle_rows(first, rows), x(in.data(), rows, n), y(out.data(), rows, n);
    copy_rows(MatrixView<const double>(block), x);
    stage.apply(MatrixView<const double>(x), y, std::span<double>(scratch));
    copy_rows(MatrixView<const double>(y), block);
  }
}

/// False if the stage moves the origin.
template <TransformStage S>
[[nodiscard]] bool keeps_zero(const S& stage) {
  std::vector<double> row(static_cast<std::size_t>(stage.size()), 0.0);
  apply_in_place(stage, MatrixView<double>(row.data(), 1, stage.size()));
  return std::all_of(row.begin(), row.end(), [](double value) { return value == 0.0; });
}

template <TransformStage S>
[[nodiscard]] Status fold_one(const S& stage, MatrixView<double> w, std::span<double> bias) {
  if (stage.size() != w.columns())
    return Status(ErrorCode::shape_mismatch, "fold: the transform has ", stage.size(), " channels, the weights ",
                  w.columns(), " columns");
  if constexpr (StageComposition<S>) {
    Status status;
    std::apply([&](const auto&... part) { (void)(... && (status = fold_one(part, w, bias)).ok()); }, stage.stages());
    return status;
  } else {
    if constexpr (HasOffset<S>) {
      if (static_cast<index>(bias.size()) != w.rows())
        return Status(ErrorCode::shape_mismatch, "fold: a stage with an offset needs a bias of ", w.rows(),
                      " values, got ", bias.size());
      stage.fold_bias(MatrixView<const double>(w), bias);
    } else if (!keeps_zero(stage)) {
      return Status(ErrorCode::unsupported, "fold: a stage without fold_bias must map 0 to 0");
    }
    apply_in_place(stage.dual(), w);
    return {};
  }
}

}  // namespace detail

/// Consumer side: W ← W A⁻ᵀ and b ← b + W z, stage by stage, in float64 and in place, so that T(x) W̃ᵀ + b̃ = x Wᵀ + b.
/// w: out × n; bias: out values, or empty where no stage has an offset.
template <TransformStage S>
[[nodiscard]] Status fold_into_weights(const S& transform, MatrixView<double> w, std::span<double> bias = {}) {
  return detail::fold_one(transform, w, bias);
}

/// Producer side, linear → linear: every output row y of the producer becomes T(y): W ← Aᵀ W, b ← T(b), in float64 and
/// in place. w: n × in; bias: n values, or empty where no stage has an offset.
template <TransformStage S>
[[nodiscard]] Status absorb_into_producer(const S& transform, MatrixView<double> w, std::span<double> bias = {}) {
  const index n = transform.size();
  if (n != w.rows() || (!bias.empty() && static_cast<index>(bias.size()) != n))
    return Status(ErrorCode::shape_mismatch, "absorb: the transform has ", n, " channels, the producer ", w.rows(),
                  " rows and ", bias.size(), " biases");
  std::vector<double> offset(static_cast<std::size_t>(n), 0.0);  // T(0) = −z A
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

/// Norm gain (and the bias of a LayerNorm): gain ← gain · s, bias ← T(bias), for transforms that are diagonal up to an
/// offset; anything else is refused. bias may be empty where no stage has an offset.
template <TransformStage S>
[[nodiscard]] Status absorb_into_norm(const S& transform, std::span<double> gain, std::span<double> bias = {}) {
  const index n = transform.size();
  if (static_cast<index>(gain.size()) != n || (!bias.empty() && bias.size() != gain.size()))
    return Status(ErrorCode::shape_mismatch, "absorb: the transform has ", n, " channels, the norm ", gain.size(),
                  " gains and ", bias.size(), " biases");
  std::vector<double> offset(gain.size(), 0.0), factors(gain.size(), 1.0), probe(gain.size());
  const auto view = [n](std::vector<double>& row) { return MatrixView<double>(row.data(), 1, n); };
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

/// What the producer takes, and what still runs before the quantizer.
template <TransformStage Absorbed, TransformStage Online>
struct Folded {
  Absorbed absorbed;
  Online online;
};

namespace detail {

template <ProducerTag Tag, class... Stages>
constexpr std::size_t admitted_prefix() noexcept {
  std::size_t count = 0;
  bool open = true;
  ((open = open && admits(Tag::producer, stage_kind<Stages>), count += open ? 1 : 0), ...);
  return count;
}

/// Stages [First, First + count) as a Transform; Identity for none.
template <std::size_t First, class... Stages, std::size_t... I>
auto part_of_transform(const Transform<Stages...>& transform, std::index_sequence<I...>) {
  if constexpr (sizeof...(I) == 0)
    return Transform(Identity(transform.size()));
  else
    return Transform<std::tuple_element_t<First + I, std::tuple<Stages...>>...>(
        transform.template stage<First + I>()...);
}

}  // namespace detail

/// Splits a composition into the longest prefix that the producer absorbs and the rest, which runs online: each a
/// Transform, of Identity where it is empty. `auto [absorbed, online] = fold<after_norm_gain>(transform);`
template <ProducerTag Tag, TransformStage... Stages>
[[nodiscard]] auto fold(const Transform<Stages...>& transform) {
  constexpr std::size_t count = detail::admitted_prefix<Tag, Stages...>();
  auto absorbed = detail::part_of_transform<0>(transform, std::make_index_sequence<count>{});
  auto online = detail::part_of_transform<count>(transform, std::make_index_sequence<sizeof...(Stages) - count>{});
  return Folded<decltype(absorbed), decltype(online)>{std::move(absorbed), std::move(online)};
}

/// A single stage is a composition of one.
template <ProducerTag Tag, TransformStage Stage>
requires(!StageComposition<Stage>) [[nodiscard]] auto fold(const Stage& stage) {
  return fold<Tag>(Transform<Stage>(stage));
}

}  // namespace planish::inline PLANISH_ABI
