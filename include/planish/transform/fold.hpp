#pragma once
#include <concepts>
#include <cstddef>
#include <span>
#include <tuple>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/transform/absorb.hpp>
#include <planish/transform/identity.hpp>
#include <planish/transform/in_place.hpp>
#include <planish/transform/producer.hpp>
#include <planish/transform/stage.hpp>
#include <planish/transform/transform.hpp>

namespace planish::inline PLANISH_ABI {

namespace detail {

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
template <class S>
[[nodiscard]] Status fold_into_weights(const S& transform, MatrixView<double> w, std::span<double> bias = {}) {
  static_assert(detail::MustBeStage<S>, "planish: the transform is no stage");
  return detail::fold_one(transform, w, bias);
}

/// Other elements, for a sentence.
template <class S, class W, class... Bias>
requires(!std::same_as<W, double>) [[nodiscard]] Status fold_into_weights(const S&, MatrixView<W>, Bias&&...) {
  static_assert(std::same_as<W, double>, "planish: weights and bias are folded in double, in place; copy them first");
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
template <detail::MustBeProducerTag Tag, detail::MustBeStage... Stages>
[[nodiscard]] auto fold(const Transform<Stages...>& transform) {
  constexpr std::size_t count = detail::admitted_prefix<Tag, Stages...>();
  auto absorbed = detail::part_of_transform<0>(transform, std::make_index_sequence<count>{});
  auto online = detail::part_of_transform<count>(transform, std::make_index_sequence<sizeof...(Stages) - count>{});
  return Folded<decltype(absorbed), decltype(online)>{std::move(absorbed), std::move(online)};
}

/// A single stage is a composition of one.
template <detail::MustBeProducerTag Tag, detail::MustBeStage Stage>
requires(!StageComposition<Stage>) [[nodiscard]] auto fold(const Stage& stage) {
  return fold<Tag>(Transform<Stage>(stage));
}

}  // namespace planish::inline PLANISH_ABI
