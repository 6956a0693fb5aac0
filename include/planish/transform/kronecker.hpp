#pragma once
#include <algorithm>
#include <span>
#include <type_traits>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/reference/kronecker_rows.hpp>
#include <planish/transform/identity.hpp>
#include <planish/transform/kronecker_factors.hpp>
#include <planish/transform/map_rows.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

/// x · (L ⊗ R): a row of n = n₁ · n₂ channels, reshaped row-major to M (n₁ × n₂), becomes Lᵀ · (M · R), right factor
/// first (FlatQuant, arXiv 2410.09426). The factors are linear stages; the dual has the factors' duals.
/// Kronecker<Identity, R> maps every head alike, Kronecker<L, Identity> mixes heads.
template <detail::MustBeStage Left, detail::MustBeStage Right>
class Kronecker {
  static_assert(!HasOffset<Left> && !HasOffset<Right>,
                "planish: factors of Kronecker must be linear; put Shift in front of it in a Transform");

 public:
  static constexpr const char* name = "kronecker";
  static constexpr StageKind kind{.scale = stage_kind<Left>.scale && stage_kind<Right>.scale,
                                  .permutation = stage_kind<Left>.permutation && stage_kind<Right>.permutation,
                                  .orthogonal = stage_kind<Left>.orthogonal && stage_kind<Right>.orthogonal,
                                  .within_heads = std::is_same_v<Left, Identity>};

  /// True if both factors are matrices or the identity: one fused kernel does it all.
  static constexpr bool is_fused = HasMatrix<Left> && HasMatrix<Right>;

  Kronecker(Left left, Right right) : left_(std::move(left)), right_(std::move(right)) {}

  [[nodiscard]] index size() const noexcept { return left_.size() * right_.size(); }
  [[nodiscard]] const Left& left() const noexcept { return left_; }
  [[nodiscard]] const Right& right() const noexcept { return right_; }

  [[nodiscard]] index scratch_size(index rows) const noexcept {
    if (rows == 0) return 0;
    if constexpr (is_fused)
      return kernels::reference::kronecker_scratch_size(left_.size(), right_.size());
    else
      return 2 * size() + std::max<index>(left_.scratch_size(right_.size()), right_.scratch_size(left_.size()));
  }

  template <class T>
  void apply(MatrixView<const T> x, MatrixView<T> y, std::span<T> scratch) const noexcept {
    if constexpr (is_fused)
      kernels::reference::kronecker_rows(x, left_.size(), right_.size(), left_.template matrix<T>(),
                                         right_.template matrix<T>(), y, scratch);
    else
      apply_parts(ApplyByReference{}, x, y, scratch);
  }

  /// The same map through the factors' own kernels, whatever they are: `apply_part(stage, x, y, scratch)`.
  template <class Apply, class T>
  void apply_parts(const Apply& apply_part, MatrixView<const T> x, MatrixView<T> y, std::span<T> scratch) const {
    if (x.rows() == 0) return;  // then there is no scratch either
    const index n1 = left_.size(), n2 = right_.size();
    T* first = scratch.data();
    T* second = first + n1 * n2;
    const std::span<T> rest = scratch.subspan(static_cast<std::size_t>(2 * n1 * n2));
    for (index r = 0; r < x.rows(); ++r) {
      const MatrixView<const T> m(x.row(r), n1, n2, n2 * x.column_stride(), x.column_stride());
      apply_part(right_, m, MatrixView<T>(first, n1, n2), rest);
      const MatrixView<T> columns(second, n2, n1);
      planish::detail::copy_rows(MatrixView<const T>(first, n1, n2).transposed(), columns);
      apply_part(left_, MatrixView<const T>(columns), MatrixView<T>(first, n2, n1), rest);
      const MatrixView<T> out(y.row(r), n1, n2, n2 * y.column_stride(), y.column_stride());
      planish::detail::copy_rows(MatrixView<const T>(first, n2, n1).transposed(), out);
    }
  }

  [[nodiscard]] Kronecker<planish::detail::DualOf<Left>, planish::detail::DualOf<Right>> dual() const {
    return {left_.dual(), right_.dual()};
  }

  /// "left" and "right", n₁ × n₁ and n₂ × n₂; an identity is given by its size alone.
  template <class Visitor>
  void for_each_parameter(Visitor&& visitor) const requires is_fused {
    visit_factor(visitor, left_, "left", "left_size");
    visit_factor(visitor, right_, "right", "right_size");
  }

 private:
  template <class Visitor, class Factor>
  static void visit_factor(Visitor& visitor, const Factor& factor, const char* matrix_name, const char* size_name) {
    const index n = factor.size();
    if (const float* matrix = factor.template matrix<float>(); matrix != nullptr) {
      visitor(matrix_name, std::span<const float>(matrix, static_cast<std::size_t>(n * n)), n, n);
    } else {
      const float count = static_cast<float>(n);
      visitor(size_name, std::span<const float>(&count, 1), index{1}, index{1});
    }
  }

  Left left_;    // n₁ × n₁, slow index
  Right right_;  // n₂ × n₂, fast index
};

static_assert(TransformStage<Kronecker<Identity, Identity>>);

}  // namespace planish::inline PLANISH_ABI
