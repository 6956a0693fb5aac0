#pragma once
#include <concepts>
#include <span>
#include <type_traits>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/copyable.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>

namespace planish::inline PLANISH_ABI {

/// Which groups of maps a stage belongs to, whatever its parameters are. What may commute with the operator between a
/// producer and its consumers is decided from this alone (fold.hpp). The identity belongs to all of them.
struct StageKind {
  bool shift = false;         ///< x − z
  bool scale = false;         ///< a diagonal matrix
  bool permutation = false;   ///< a reordering of channels
  bool orthogonal = false;    ///< keeps the length of every row
  bool within_heads = false;  ///< block by block: never mixes two heads

  friend constexpr bool operator==(StageKind, StageKind) = default;
};

/// A map that declares nothing, such as a dense matrix.
inline constexpr StageKind general_kind{};

namespace detail {

template <class S>
concept KnowsItsSize = requires(const S& stage, index rows) {
  { stage.size() } -> std::convertible_to<index>;
  { stage.scratch_size(rows) } -> std::convertible_to<index>;
};

template <class S, class T>
concept TransformsRowsOf = requires(const S& stage, MatrixView<const T> x, MatrixView<T> y, std::span<T> scratch) {
  stage.apply(x, y, scratch);
};

template <class S>
concept TransformsRows = TransformsRowsOf<S, float> && TransformsRowsOf<S, double>;

/// What dual() gives, said without a look into its body: the type of a composition's dual then costs no code.
template <class S>
using DualOf = decltype(std::declval<const S&>().dual());

/// The basic clauses of the dual; that it has a dual in turn is left unsaid, since a concept cannot ask for itself.
template <class S>
concept HasDual = requires(const S& stage) {
  { stage.dual() } -> KnowsItsSize;
  { stage.dual() } -> TransformsRows;
};

}  // namespace detail

/// An invertible affine map of rows, T(x) = (x − z) A, and its dual W ↦ W A⁻ᵀ:
///  * `size()`: n, the length of a row;
///  * `scratch_size(rows)`: elements of T that apply needs for so many rows, whichever kernels run it;
///  * `apply(x, y, scratch)`: rows × n to rows × n in float and in double, out of place, dense rows of any row stride;
///  * `dual()`: a stage, perhaps of another type.
/// Optional, each refused by name where it is needed: `fold_bias` (a stage with an offset), `name` with
/// `for_each_parameter` (saving), `kind` (folding into producers), `matrix<T>()` (fused Kronecker kernels).
template <class S>
concept TransformStage = Copyable<S> && detail::KnowsItsSize<S> && detail::TransformsRows<S> && detail::HasDual<S>;

namespace detail {
template <class S>
struct StageOrSentence {
  static constexpr bool value = TransformStage<S>;
  static_assert(TransformStage<S>,
                "planish: a stage is copyable and has size(), scratch_size(rows), apply(x, y, scratch) for float and "
                "double, and dual(), all const; see TransformStage");
};
/// TransformStage, with a sentence in front of the compiler's own words. It ends the compilation instead of dropping
/// out of an overload set, so it is for class templates.
template <class S>
concept MustBeStage = StageOrSentence<S>::value;
}  // namespace detail

/// A stage with an offset z: `fold_bias(w, bias)` adds W z to the bias (rows of w as the stages before left them).
template <class S>
concept HasOffset = requires(const S& stage, MatrixView<const double> w, std::span<double> bias) {
  stage.fold_bias(w, bias);
};

/// A linear stage that holds its n × n matrix row-major; a null pointer stands for the identity.
template <class S>
concept HasMatrix = requires(const S& stage) {
  { stage.template matrix<float>() } -> std::same_as<const float*>;
  { stage.template matrix<double>() } -> std::same_as<const double*>;
};

/// A stage that can be saved: its name, and its parameters one by one as
/// `visitor(const char* name, std::span<const float> values, index rows, index columns)`.
template <class S>
concept HasParameters = requires(const S& stage) {
  { S::name } -> std::convertible_to<const char*>;
  stage.for_each_parameter([](const char*, std::span<const float>, index, index) {});
};

namespace detail {
template <class S>
constexpr StageKind kind_of() noexcept {
  if constexpr (requires {
                  { S::kind } -> std::convertible_to<StageKind>;
                })
    return S::kind;
  else
    return general_kind;
}
}  // namespace detail

/// What the stage declares itself to be.
template <class S>
inline constexpr StageKind stage_kind = detail::kind_of<S>();

/// How composite stages run their parts: each by its own apply, the reference. A backend passes its own callable, which
/// is invoked as `apply(stage, x, y, scratch)`.
struct ApplyByReference {
  template <class S, class T>
  void operator()(const S& stage, MatrixView<const T> x, MatrixView<T> y, std::span<T> scratch) const {
    stage.apply(x, y, scratch);
  }
};

}  // namespace planish::inline PLANISH_ABI
