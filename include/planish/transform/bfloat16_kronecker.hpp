#pragma once
// A Kronecker transform whose products are of bfloat16: a precision of its own, for activations of 4 bits.
#include <algorithm>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/array.hpp>
#include <planish/core/bfloat16_term.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/reference/kronecker_bfloat16.hpp>
#include <planish/packing/bfloat16_factors.hpp>
#include <planish/transform/dense.hpp>
#include <planish/transform/identity.hpp>
#include <planish/transform/kronecker.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

/// Kronecker whose two products round their operands to bfloat16 (docs/numbers.md). Its factors are numbers of
/// bfloat16, and its dual is that of these very factors, so that only the rounding of activations is lost: of an output
/// (i, j) at most 2⁻⁸ of Σ |x_kl| |L_ki| |R_lj| for each factor that is not the identity. In float64 it is exact.
template <class Left, class Right>
class Bfloat16Kronecker {
  static_assert((std::is_same_v<Left, Dense> || std::is_same_v<Left, Identity>)&&(std::is_same_v<Right, Dense> ||
                                                                                  std::is_same_v<Right, Identity>),
                "planish: factors of Bfloat16Kronecker are Dense or Identity; make it by round_to_bfloat16");

 public:
  static constexpr const char* name = "kronecker_bfloat16";
  static constexpr StageKind kind{.within_heads = std::is_same_v<Left, Identity>};

  /// Rounds the factors. `singular` where that leaves one without an inverse.
  [[nodiscard]] static Result<Bfloat16Kronecker> make(const Left& left, const Right& right) {
    auto l = rounded(left);
    if (!l) return l.status();
    auto r = rounded(right);
    if (!r) return r.status();
    return Bfloat16Kronecker(Kronecker<Left, Right>(*std::move(l), *std::move(r)));
  }

  [[nodiscard]] index size() const noexcept { return exact_.size(); }
  [[nodiscard]] const Left& left() const noexcept { return exact_.left(); }
  [[nodiscard]] const Right& right() const noexcept { return exact_.right(); }
  [[nodiscard]] Bfloat16FactorsView factors() const noexcept { return factors_.view(); }

  [[nodiscard]] index scratch_size(index rows) const noexcept {
    if (rows == 0) return 0;
    return std::max(exact_.scratch_size(rows),
                    kernels::reference::kronecker_bfloat16_scratch_size(left().size(), right().size()));
  }

  void apply(MatrixView<const float> x, MatrixView<float> y, std::span<float> scratch) const noexcept {
    kernels::reference::kronecker_bfloat16_rows(x, factors(), y, scratch);
  }
  void apply(MatrixView<const double> x, MatrixView<double> y, std::span<double> scratch) const noexcept {
    exact_.apply(x, y, scratch);
  }

  [[nodiscard]] detail::DualOf<Kronecker<Left, Right>> dual() const { return exact_.dual(); }

  /// As Kronecker names them.
  template <class Visitor>
  void for_each_parameter(Visitor&& visitor) const {
    exact_.for_each_parameter(visitor);
  }

 private:
  explicit Bfloat16Kronecker(Kronecker<Left, Right> exact)
      : exact_(std::move(exact)),
        factors_(left().size(), right().size(), left().template matrix<float>(), right().template matrix<float>()) {}

  [[nodiscard]] static Result<Identity> rounded(const Identity& factor) { return factor; }
  [[nodiscard]] static Result<Dense> rounded(const Dense& factor) {
    const float* const matrix = factor.matrix<float>();
    Array<float> terms(matrix, matrix + factor.size() * factor.size());
    for (float& value : terms) value = bfloat16_term(value);
    return Dense::make(terms, factor.size());
  }

  Kronecker<Left, Right> exact_;
  Bfloat16Factors factors_;
};

namespace detail {

[[nodiscard]] inline Result<Identity> dense_or_identity(const Identity& factor) { return factor; }
template <HasMatrix Factor>
[[nodiscard]] Result<Dense> dense_or_identity(const Factor& factor) {
  const float* const matrix = factor.template matrix<float>();
  return Dense::make(std::span<const float>(matrix, static_cast<std::size_t>(factor.size() * factor.size())),
                     factor.size());
}

template <class S>
inline constexpr bool is_bfloat16_kronecker = false;
template <class L, class R>
inline constexpr bool is_bfloat16_kronecker<Bfloat16Kronecker<L, R>> = true;

}  // namespace detail

/// The same map with factors and products rounded to bfloat16. Its dual differs from that of `kronecker`, so it comes
/// before weights are folded.
template <HasMatrix L, HasMatrix R>
[[nodiscard]] auto round_to_bfloat16(const Kronecker<L, R>& kronecker) {
  using Left = std::conditional_t<std::is_same_v<L, Identity>, Identity, Dense>;
  using Right = std::conditional_t<std::is_same_v<R, Identity>, Identity, Dense>;
  using Made = Result<Bfloat16Kronecker<Left, Right>>;
  auto left = detail::dense_or_identity(kronecker.left());
  if (!left) return Made(left.status());
  auto right = detail::dense_or_identity(kronecker.right());
  if (!right) return Made(right.status());
  return Bfloat16Kronecker<Left, Right>::make(*left, *right);
}

static_assert(TransformStage<Bfloat16Kronecker<Dense, Dense>>);

}  // namespace planish::inline PLANISH_ABI
