#pragma once
#include <algorithm>
#include <cstddef>
#include <span>
#include <tuple>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/array.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

/// Rows that a composition carries through all of its stages before it turns to the next ones: they stay in cache, and
/// scratch does not grow with the number of rows.
inline constexpr index transform_tile_rows = 8;

/// Stages from left to right, as the data flows: x goes through the first one first. Itself a stage.
template <detail::MustBeStage... Stages>
class Transform {
  static_assert(sizeof...(Stages) > 0, "planish: a Transform has at least one stage; use Identity for none");
  using Sequence = std::index_sequence_for<Stages...>;

 public:
  static constexpr std::size_t stage_count = sizeof...(Stages);
  static constexpr StageKind kind{.shift = (stage_kind<Stages>.shift && ...),
                                  .scale = (stage_kind<Stages>.scale && ...),
                                  .permutation = (stage_kind<Stages>.permutation && ...),
                                  .orthogonal = (stage_kind<Stages>.orthogonal && ...),
                                  .within_heads = (stage_kind<Stages>.within_heads && ...)};

  /// Stages of one size; `make` checks that.
  explicit Transform(Stages... stages) : stages_(std::move(stages)...) {}

  /// Refuses stages of different sizes.
  [[nodiscard]] static Result<Transform> make(Stages... stages) {
    const index sizes[] = {stages.size()...};
    for (std::size_t i = 1; i < stage_count; ++i)
      if (sizes[i] != sizes[0])
        return Status(ErrorCode::shape_mismatch, "transform: stage ", i, " has ", sizes[i], " channels, the first has ",
                      sizes[0]);
    return Transform(std::move(stages)...);
  }

  [[nodiscard]] index size() const noexcept { return std::get<0>(stages_).size(); }
  [[nodiscard]] const std::tuple<Stages...>& stages() const noexcept { return stages_; }
  template <std::size_t I>
  [[nodiscard]] const auto& stage() const noexcept {
    return std::get<I>(stages_);
  }

  /// One tile of rows between stages, and what the hungriest stage needs for a tile.
  [[nodiscard]] index scratch_size(index rows) const noexcept {
    const index tile = std::min(rows, transform_tile_rows);
    const index most = std::apply(
        [tile](const auto&... stage) { return std::max({static_cast<index>(stage.scratch_size(tile))...}); }, stages_);
    return (stage_count > 1 ? tile * size() : 0) + most;
  }

  template <class T>
  void apply(MatrixView<const T> x, MatrixView<T> y, std::span<T> scratch) const noexcept {
    apply_parts(ApplyByReference{}, x, y, scratch);
  }

  /// Stage after stage by `apply_part(stage, x, y, scratch)`, one tile of rows at a time.
  template <class Apply, class T>
  void apply_parts(const Apply& apply_part, MatrixView<const T> x, MatrixView<T> y, std::span<T> scratch) const {
    for (index first = 0; first < x.rows(); first += transform_tile_rows) {
      const index rows = std::min(transform_tile_rows, x.rows() - first);
      const index between = stage_count > 1 ? rows * size() : 0;
      apply_tile(apply_part, x.middle_rows(first, rows), y.middle_rows(first, rows),
                 MatrixView<T>(scratch.data(), rows, size()), scratch.subspan(static_cast<std::size_t>(between)),
                 Sequence{});
    }
  }

  [[nodiscard]] Transform<detail::DualOf<Stages>...> dual() const {
    return std::apply([](const auto&... stage) { return Transform<detail::DualOf<Stages>...>(stage.dual()...); },
                      stages_);
  }

  /// bias += W z of the whole composition: stage by stage on rows that the stages before have dualised.
  void fold_bias(MatrixView<const double> w, std::span<double> bias) const requires(HasOffset<Stages> || ...) {
    const auto columns = static_cast<std::size_t>(w.columns());
    Array<double> row(columns), next(columns);
    for (index r = 0; r < w.rows(); ++r) {
      for (index c = 0; c < w.columns(); ++c) row[static_cast<std::size_t>(c)] = w(r, c);
      std::apply(
          [&](const auto&... stage) {
            (fold_row(stage, row, next, bias.subspan(static_cast<std::size_t>(r), 1)), ...);
          },
          stages_);
    }
  }

 private:
  /// Stages alternate between y and the tile in scratch so that the last one writes y.
  template <class Apply, class T, std::size_t... I>
  void apply_tile(const Apply& apply_part, MatrixView<const T> x, MatrixView<T> y, MatrixView<T> tile,
                  std::span<T> scratch, std::index_sequence<I...>) const {
    const auto target = [&](std::size_t stage) { return (stage_count - 1 - stage) % 2 == 0 ? y : tile; };
    (apply_part(std::get<I>(stages_), I == 0 ? x : MatrixView<const T>(target(I - 1)), target(I), scratch), ...);
  }

  template <class Stage>
  static void fold_row(const Stage& stage, Array<double>& row, Array<double>& next, std::span<double> bias) {
    const auto columns = static_cast<index>(row.size());
    if constexpr (HasOffset<Stage>) stage.fold_bias(MatrixView<const double>(row.data(), 1, columns), bias);
    const auto dual = stage.dual();
    Array<double> scratch(static_cast<std::size_t>(dual.scratch_size(1)));
    dual.apply(MatrixView<const double>(row.data(), 1, columns), MatrixView<double>(next.data(), 1, columns),
               std::span<double>(scratch.data(), scratch.size()));
    std::swap(row, next);
  }

  std::tuple<Stages...> stages_;
};

namespace detail {
template <class S>
inline constexpr bool is_transform = false;
template <class... Stages>
inline constexpr bool is_transform<Transform<Stages...>> = true;
}  // namespace detail

/// A composition of stages.
template <class S>
concept StageComposition = detail::is_transform<S>;

}  // namespace planish::inline PLANISH_ABI
