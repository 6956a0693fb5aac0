#pragma once
#include <concepts>
#include <memory>
#include <string>
#include <utility>

#include <planish/backend/default.hpp>
#include <planish/core/array.hpp>
#include <planish/linear/stage_parameters.hpp>
#include <planish/transform/fold.hpp>

namespace planish::inline PLANISH_ABI {

class AnyStage;

namespace detail {

/// What can be done to a stage whose type is known only at run time: plain functions, one table per type.
struct StageTable {
  const char* name;  // "unnamed" for stages that cannot be saved
  StageKind kind;
  index (*size)(const void*) noexcept;
  index (*scratch_size)(const void*, index rows) noexcept;
  void (*apply_float)(const void*, MatrixView<const float>, MatrixView<float>, std::span<float>) noexcept;
  void (*apply_double)(const void*, MatrixView<const double>, MatrixView<double>, std::span<double>) noexcept;
  index (*apply_to_codes)(const void*, const RowsToCodes&) noexcept;
  AnyStage (*dual)(const void*);
  Status (*fold)(const void*, MatrixView<double>, std::span<double>);
  Result<Array<StageParameter>> (*parameters)(const void*);
  std::string (*describe)(const void*);
  Result<AnyStage> (*in_bfloat16)(const void*);
  bool (*split_heads)(const void*, index head_size, Array<AnyStage>& within_then_across);
  void* (*copy)(const void*);
  void (*destroy)(void*) noexcept;
};

template <TransformStage S>
struct StageFunctions;

}  // namespace detail

/// A stage of any type, as a value. In float it runs on the kernels of the default backend, in double by its own apply.
class AnyStage {
 public:
  template <class S>
  requires(!std::same_as<S, AnyStage> && TransformStage<S>) explicit AnyStage(S stage)
      : table_(&detail::StageFunctions<S>::table), stage_(new S(std::move(stage))) {}
  /// Anything else, for a sentence.
  template <class S>
  requires(!std::same_as<S, AnyStage> && !TransformStage<S>) explicit AnyStage(const S&) {
    static_assert(detail::MustBeStage<S>, "planish: it is no stage");
  }
  AnyStage(AnyStage&& other) noexcept : table_(other.table_), stage_(std::exchange(other.stage_, nullptr)) {}
  AnyStage(const AnyStage& other) : table_(other.table_), stage_(table_->copy(other.stage_)) {}
  AnyStage& operator=(AnyStage other) noexcept {
    std::swap(table_, other.table_);
    std::swap(stage_, other.stage_);
    return *this;
  }
  ~AnyStage() {
    if (stage_ != nullptr) table_->destroy(stage_);
  }

  [[nodiscard]] const char* name() const noexcept { return table_->name; }
  [[nodiscard]] StageKind kind() const noexcept { return table_->kind; }
  [[nodiscard]] index size() const noexcept { return table_->size(stage_); }
  [[nodiscard]] index scratch_size(index rows) const noexcept { return table_->scratch_size(stage_, rows); }
  void apply(MatrixView<const float> x, MatrixView<float> y, std::span<float> scratch) const noexcept {
    table_->apply_float(stage_, x, y, scratch);
  }
  void apply(MatrixView<const double> x, MatrixView<double> y, std::span<double> scratch) const noexcept {
    table_->apply_double(stage_, x, y, scratch);
  }
  /// The codes of the transformed rows; returns how many rows held NaN or infinity.
  [[nodiscard]] index apply_to_codes(const RowsToCodes& job) const noexcept {
    return table_->apply_to_codes(stage_, job);
  }
  [[nodiscard]] AnyStage dual() const { return table_->dual(stage_); }

  /// W ← W A⁻ᵀ, b ← b + W z; see fold_into_weights.
  [[nodiscard]] Status fold_into_weights(MatrixView<double> w, std::span<double> bias) const {
    return table_->fold(stage_, w, bias);
  }

  /// What a file keeps; `unsupported` for a stage without name and parameters.
  [[nodiscard]] Result<Array<StageParameter>> parameters() const { return table_->parameters(stage_); }
  [[nodiscard]] std::string describe() const { return table_->describe(stage_); }

  /// The stage itself if it is an S, else null.
  template <TransformStage S>
  [[nodiscard]] const S* get_if() const noexcept {
    return table_ == &detail::StageFunctions<S>::table ? static_cast<const S*>(stage_) : nullptr;
  }

  /// A Kronecker of matrices, or one matrix, with bfloat16 products (round_to_bfloat16); any other stage as it is.
  [[nodiscard]] Result<AnyStage> in_bfloat16() const { return table_->in_bfloat16(stage_); }

  /// For a Kronecker of a map across heads and one within heads of this size: the two as stages, within first, since
  /// x (L ⊗ R) = x (I ⊗ R) (L ⊗ I). Empty for anything else.
  PLANISH_LAZY [[nodiscard]] Array<AnyStage> split_heads(index head_size) const {
    Array<AnyStage> parts;
    return table_->split_heads(stage_, head_size, parts) ? std::move(parts) : Array<AnyStage>{};
  }

 private:
  const detail::StageTable* table_;
  void* stage_;  // owned
};

namespace detail {

template <TransformStage S>
struct StageFunctions {
  static const S& of(const void* stage) noexcept { return *static_cast<const S*>(stage); }

  static index size(const void* stage) noexcept { return of(stage).size(); }
  static index scratch_size(const void* stage, index rows) noexcept { return of(stage).scratch_size(rows); }
  static void apply_float(const void* stage, MatrixView<const float> x, MatrixView<float> y,
                          std::span<float> scratch) noexcept {
    planish::apply(DefaultBackend{}, of(stage), x, y, scratch);
  }
  static void apply_double(const void* stage, MatrixView<const double> x, MatrixView<double> y,
                           std::span<double> scratch) noexcept {
    of(stage).apply(x, y, scratch);
  }
  static index apply_to_codes(const void* stage, const RowsToCodes& job) noexcept {
    return planish::apply_to_codes(DefaultBackend{}, of(stage), job);
  }
  static AnyStage dual(const void* stage) { return AnyStage(of(stage).dual()); }
  static Status fold(const void* stage, MatrixView<double> w, std::span<double> bias) {
    return planish::fold_into_weights(of(stage), w, bias);
  }
  static Result<Array<StageParameter>> parameters(const void* stage) { return stage_parameters(of(stage)); }
  static std::string describe(const void* stage) { return describe_stage(of(stage)); }
  static Result<AnyStage> in_bfloat16(const void* stage) {
    const auto made = [](auto rounded) {
      return rounded ? Result<AnyStage>(AnyStage(*std::move(rounded))) : Result<AnyStage>(rounded.status());
    };
    if constexpr (is_fused_kronecker<S>)
      return made(round_to_bfloat16(of(stage)));
    else if constexpr (HasMatrix<S> && !std::same_as<S, Identity>)
      return made(round_to_bfloat16(Kronecker(Identity(1), of(stage))));
    else
      return AnyStage(of(stage));
  }
  static bool split_heads(const void* stage, index head_size, Array<AnyStage>& parts) {
    if constexpr (is_kronecker<S>) {
      const auto& left = of(stage).left();
      const auto& right = of(stage).right();
      using Left = std::remove_cvref_t<decltype(left)>;
      using Right = std::remove_cvref_t<decltype(right)>;
      if constexpr (!std::same_as<Left, Identity> && !std::same_as<Right, Identity>) {
        if (right.size() != head_size) return false;
        parts.push_back(AnyStage(Kronecker(Identity(left.size()), right)));
        parts.push_back(AnyStage(Kronecker(left, Identity(right.size()))));
        return true;
      }
    }
    return false;
  }
  static void* copy(const void* stage) { return new S(of(stage)); }
  static void destroy(void* stage) noexcept { delete static_cast<S*>(stage); }

  static constexpr StageTable table{stage_name<S>, stage_kind<S>,  size,        scratch_size, apply_float,
                                    apply_double,  apply_to_codes, dual,        fold,         parameters,
                                    describe,      in_bfloat16,    split_heads, copy,         destroy};
};

}  // namespace detail
}  // namespace planish::inline PLANISH_ABI
