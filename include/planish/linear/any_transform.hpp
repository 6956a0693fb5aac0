#pragma once
#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include <planish/core/array.hpp>
#include <planish/linear/any_stage.hpp>
#include <planish/linear/stage_registry.hpp>
#include <planish/transform/producer.hpp>
#include <planish/transform/scale.hpp>
#include <planish/transform/shift.hpp>
#include <planish/transform/transform.hpp>

namespace planish::inline PLANISH_ABI {

/// A sequence of stages that is known at run time, as recipes and files bring it; the twin of Transform<Stages...> and
/// itself a stage. No stages: the identity. Copies are deep.
class AnyTransform {
 public:
  /// The identity on rows of no channels.
  AnyTransform() = default;

  /// No stages, rows of n channels.
  [[nodiscard]] static AnyTransform identity(index size) {
    AnyTransform none;
    none.size_ = size;
    return none;
  }

  template <class S>
  requires(!std::same_as<S, AnyTransform> && !std::same_as<S, AnyStage> && !StageComposition<S> &&
           TransformStage<S>) explicit AnyTransform(S stage)
      : AnyTransform(AnyStage(std::move(stage))) {}
  /// Anything else, for a sentence.
  template <class S>
  requires(!std::same_as<S, AnyTransform> && !std::same_as<S, AnyStage> &&
           !TransformStage<S>) explicit AnyTransform(const S&) {
    static_assert(detail::MustBeStage<S>, "planish: it is no stage");
  }
  PLANISH_LAZY explicit AnyTransform(AnyStage stage) : size_(stage.size()) { stages_.push_back(std::move(stage)); }

  /// The stages of a static composition, one by one.
  template <TransformStage... Stages>
  explicit AnyTransform(const Transform<Stages...>& transform) : size_(transform.size()) {
    std::apply([this](const auto&... stage) { (this->add(stage), ...); }, transform.stages());
  }

  /// A stage from its name and parameters, by the registry's factories. Errors name the stage and what is wrong.
  PLANISH_LAZY [[nodiscard]] static Result<AnyTransform> from(std::string_view name,
                                                              std::span<const StageParameter> parameters,
                                                              const StageRegistry& registry = {}) {
    auto stage = registry.make(name, parameters);
    if (!stage) return stage.status();
    return AnyTransform(*std::move(stage));
  }

  /// Puts another sequence behind this one, over which rows go later. `shape_mismatch` if the sizes differ.
  PLANISH_LAZY [[nodiscard]] Status append(AnyTransform next) {
    if (stages_.empty() && size_ == 0) size_ = next.size_;
    if (next.size_ != size_)
      return Status(ErrorCode::shape_mismatch, "cannot append a transform of ", next.size_, " channels to one of ",
                    size_);
    for (AnyStage& stage : next.stages_) stages_.push_back(std::move(stage));
    return {};
  }

  [[nodiscard]] index size() const noexcept { return size_; }
  [[nodiscard]] index stage_count() const noexcept { return static_cast<index>(stages_.size()); }
  [[nodiscard]] std::span<const AnyStage> stages() const noexcept { return {stages_.data(), stages_.size()}; }
  [[nodiscard]] bool is_identity() const noexcept { return stages_.empty(); }

  /// Elements of float or double that apply needs for so many rows.
  [[nodiscard]] index scratch_size(index rows) const noexcept {
    const index tile = std::min(rows, transform_tile_rows);
    index most = 0;
    for (const AnyStage& stage : stages_) most = std::max(most, stage.scratch_size(tile));
    return (stages_.size() > 1 ? tile * size_ : 0) + most;
  }

  /// y = T(x), out of place; x and y are rows × size, dense rows of any row stride.
  PLANISH_LAZY void apply(MatrixView<const float> x, MatrixView<float> y, std::span<float> scratch) const noexcept {
    apply_tiles(x, y, scratch);
  }
  PLANISH_LAZY void apply(MatrixView<const double> x, MatrixView<double> y, std::span<double> scratch) const noexcept {
    apply_tiles(x, y, scratch);
  }

  /// The codes of T(x), as the last stage makes them; returns how many rows held NaN or infinity.
  PLANISH_LAZY [[nodiscard]] index apply_to_codes(const RowsToCodes& job) const noexcept {
    if (stages_.empty()) return quantize(DefaultBackend{}, job.x, job.quantizer, job.out);
    index bad_rows = 0;
    for (index first = 0; first < job.x.rows(); first += transform_tile_rows) {
      const index rows = std::min(transform_tile_rows, job.x.rows() - first);
      const MatrixView<float> room = job.room.middle_rows(0, rows);
      const TileMemory<float> memory = tile_memory(rows, job.scratch);
      const bool alone = stages_.size() == 1;
      bad_rows +=
          stages_.back().apply_to_codes({.x = apply_stages(job.x.middle_rows(first, rows), room, memory, 1),
                                         .rows_behind = alone ? job.x.rows() - first - rows + job.rows_behind : 0,
                                         .quantizer = job.quantizer,
                                         .out = job.out.middle_rows(first, rows),
                                         .room = room,
                                         .scratch = memory.rest});
    }
    return bad_rows;
  }

  PLANISH_LAZY [[nodiscard]] AnyTransform dual() const {
    AnyTransform duals = identity(size_);
    for (const AnyStage& stage : stages_) duals.stages_.push_back(stage.dual());
    return duals;
  }

  /// The same stages, every Kronecker of matrices and every matrix with bfloat16 products (round_to_bfloat16). The dual
  /// differs from that of this, so it comes before weights are folded.
  PLANISH_LAZY [[nodiscard]] Result<AnyTransform> in_bfloat16() const {
    AnyTransform rounded = identity(size_);
    for (const AnyStage& stage : stages_) {
      auto made = stage.in_bfloat16();
      if (!made) return made.status();
      rounded.stages_.push_back(*std::move(made));
    }
    return rounded;
  }

  PLANISH_LAZY [[nodiscard]] AnyTransform clone() const { return *this; }

  /// W ← W A⁻ᵀ, b ← b + W z in float64 and in place. w: out × size; bias: out values, or empty where no stage has an
  /// offset.
  [[nodiscard]] Status fold_into_weights(MatrixView<double> w, std::span<double> bias = {}) const {
    if (w.columns() != size_)
      return Status(ErrorCode::shape_mismatch, "fold: the transform has ", size_, " channels, the weights ",
                    w.columns(), " columns");
    for (const AnyStage& stage : stages_)
      if (const Status status = stage.fold_into_weights(w, bias); !status) return status;
    return {};
  }

  struct Split;
  /// What the producer of the rows absorbs, a prefix of the stages, and what is left to run online: the run-time twin
  /// of `fold`. Stages are first reordered where that lets the producer take more, by identities that are exact:
  ///  * (x − z) ⊙ s = x ⊙ s − z ⊙ s, so that a Scale behind a Shift still reaches a norm gain;
  ///  * x (L ⊗ R) = x (I ⊗ R) (L ⊗ I), so that attention values take R, given the head size.
  PLANISH_LAZY [[nodiscard]] Split split(Producer producer, index head_size = 0) const;

  /// visitor(const char* name, std::span<const StageParameter>) for every stage in order, as `from` takes them back.
  template <class Visitor>
  [[nodiscard]] Status for_each_stage(Visitor&& visitor) const {
    for (const AnyStage& stage : stages_) {
      const auto parameters = stage.parameters();
      if (!parameters) return parameters.status();
      visitor(stage.name(), std::span<const StageParameter>(parameters->data(), parameters->size()));
    }
    return {};
  }

  /// "scale(576) -> kronecker(dense(24), dense(24))", or "identity".
  PLANISH_LAZY [[nodiscard]] std::string describe() const {
    std::string text;
    for (const AnyStage& stage : stages_) text += (text.empty() ? "" : " -> ") + stage.describe();
    return text.empty() ? "identity" : text;
  }

 private:
  template <TransformStage S>
  void add(const S& stage) {
    if constexpr (StageComposition<S>)
      std::apply([this](const auto&... part) { (this->add(part), ...); }, stage.stages());
    else
      stages_.push_back(AnyStage(stage));
  }

  /// What a tile of rows finds in scratch: room between two stages, and the stages' own.
  template <class T>
  struct TileMemory {
    MatrixView<T> between;
    std::span<T> rest;
  };
  template <class T>
  [[nodiscard]] TileMemory<T> tile_memory(index rows, std::span<T> scratch) const noexcept {
    return {{scratch.data(), rows, size_},
            scratch.subspan(stages_.size() > 1 ? static_cast<std::size_t>(rows * size_) : 0)};
  }

  /// Runs all stages but the `behind` last ones and returns what they made. Stages alternate between y and a tile in
  /// scratch so that the last one of all writes y.
  template <class T>
  [[nodiscard]] MatrixView<const T> apply_stages(MatrixView<const T> x, MatrixView<T> y, const TileMemory<T>& memory,
                                                 std::size_t behind) const noexcept {
    const std::size_t count = stages_.size();
    for (std::size_t i = 0; i + behind < count; ++i) {
      const MatrixView<T> target = (count - 1 - i) % 2 == 0 ? y : memory.between;
      stages_[i].apply(x, target, memory.rest);
      x = target;
    }
    return x;
  }

  template <class T>
  void apply_tiles(MatrixView<const T> x, MatrixView<T> y, std::span<T> scratch) const noexcept {
    if (stages_.empty()) return detail::copy_rows(x, y);
    for (index first = 0; first < x.rows(); first += transform_tile_rows) {
      const index rows = std::min(transform_tile_rows, x.rows() - first);
      static_cast<void>(
          apply_stages(x.middle_rows(first, rows), y.middle_rows(first, rows), tile_memory(rows, scratch), 0));
    }
  }

  index size_ = 0;
  Array<AnyStage> stages_;
};

struct AnyTransform::Split {
  AnyTransform absorbed, online;
};

namespace detail {

/// If stage `at` is a Shift that is followed, perhaps after more Shifts, by a Scale: moves that Scale in front of them.
PLANISH_LAZY bool move_scale_forward(Array<AnyStage>& stages, std::size_t at) {
  std::size_t end = at;
  while (end < stages.size() && stages[end].get_if<Shift>() != nullptr) ++end;
  if (end == at || end == stages.size()) return false;
  const Scale* scale = stages[end].get_if<Scale>();
  if (scale == nullptr) return false;
  for (std::size_t i = at; i < end; ++i) {
    const std::span<const float> z = stages[i].get_if<Shift>()->offsets();
    Array<float> scaled(z.size());
    for (std::size_t c = 0; c < z.size(); ++c)
      scaled[c] = static_cast<float>(static_cast<double>(z[c]) * scale->exact_factors()[c]);
    stages[i] = AnyStage(Shift(std::move(scaled)));
  }
  for (std::size_t i = end; i > at; --i) std::swap(stages[i], stages[i - 1]);
  return true;
}

/// If stage `at` mixes heads and the channels of each: puts the two parts in its place.
PLANISH_LAZY bool split_heads(Array<AnyStage>& stages, std::size_t at, index head_size) {
  Array<AnyStage> parts = stages[at].split_heads(head_size);
  if (parts.empty()) return false;
  stages[at] = std::move(parts[0]);
  stages.push_back(std::move(parts[1]));
  for (std::size_t i = stages.size() - 1; i > at + 1; --i) std::swap(stages[i], stages[i - 1]);
  return true;
}

}  // namespace detail

template <int>
AnyTransform::Split AnyTransform::split(Producer producer, index head_size) const {
  Array<AnyStage> stages(stages_);
  Split parts{identity(size_), identity(size_)};
  std::size_t taken = 0;
  while (taken < stages.size()) {
    const bool takes_scale = admits(producer, Scale::kind), takes_heads = producer == Producer::attention_values;
    if (!admits(producer, stages[taken].kind()) && !(takes_scale && detail::move_scale_forward(stages, taken)) &&
        !(takes_heads && head_size > 0 && detail::split_heads(stages, taken, head_size)))
      break;
    parts.absorbed.stages_.push_back(std::move(stages[taken++]));
  }
  for (std::size_t i = taken; i < stages.size(); ++i) parts.online.stages_.push_back(std::move(stages[i]));
  return parts;
}

/// The run-time twin of fold_into_weights for compositions.
[[nodiscard]] inline Status fold_into_weights(const AnyTransform& transform, MatrixView<double> w,
                                              std::span<double> bias = {}) {
  return transform.fold_into_weights(w, bias);
}

static_assert(TransformStage<AnyTransform>);

}  // namespace planish::inline PLANISH_ABI
