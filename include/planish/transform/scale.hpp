#pragma once
#include <cmath>
#include <span>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/array.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/transform/map_rows.hpp>
#include <planish/transform/parameter.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

/// x ⊙ s: evens out channels of different size; the weights absorb 1 / s. FlatQuant's diagonal is this s; SmoothQuant
/// (arXiv 2211.10438) prints its reciprocal.
class Scale {
 public:
  static constexpr const char* name = "scale";
  static constexpr StageKind kind{.scale = true};

  /// Factors s, one per channel, finite and none zero.
  PLANISH_LAZY explicit Scale(Array<float> factors) : factors_(std::move(factors)) {
    const std::span<const double> exact = factors_.exact();
    Array<double> reciprocals(exact.size());
    for (std::size_t i = 0; i < exact.size(); ++i) reciprocals[i] = 1.0 / exact[i];
    reciprocals_ = Parameter(std::move(reciprocals));
  }

  /// Refuses NaN, infinity, zero, and factors so near to zero that their reciprocal is not a finite float.
  PLANISH_LAZY [[nodiscard]] static Result<Scale> make(std::span<const float> factors) {
    for (std::size_t i = 0; i < factors.size(); ++i) {
      if (!is_finite(factors[i]))
        return Status(ErrorCode::not_finite, "scale: the factor of channel ", i, " is NaN or infinite");
      if (factors[i] == 0.0f || !is_finite(1.0f / factors[i]))
        return Status(ErrorCode::singular, "scale: the factor of channel ", i, " is zero or has no finite reciprocal");
    }
    return Scale(Array<float>(factors.data(), factors.data() + factors.size()));
  }

  [[nodiscard]] index size() const noexcept { return factors_.size(); }
  [[nodiscard]] index scratch_size(index /*rows*/) const noexcept { return 0; }
  [[nodiscard]] std::span<const float> factors() const noexcept { return factors_.single(); }
  [[nodiscard]] std::span<const double> exact_factors() const noexcept { return factors_.exact(); }

  template <class T>
  void apply(MatrixView<const T> x, MatrixView<T> y, std::span<T> /*scratch*/) const noexcept {
    detail::map_rows(x, factors_.data<T>(), y, [](T value, T s) { return value * s; });
  }

  PLANISH_LAZY [[nodiscard]] Scale dual() const { return Scale(reciprocals_, factors_); }

  template <class Visitor>
  void for_each_parameter(Visitor&& visitor) const {
    visitor("factors", factors(), index{1}, size());
  }

 private:
  Scale(Parameter factors, Parameter reciprocals)
      : factors_(std::move(factors)), reciprocals_(std::move(reciprocals)) {}

  Parameter factors_;      // n
  Parameter reciprocals_;  // n
};

static_assert(TransformStage<Scale>);

}  // namespace planish::inline PLANISH_ABI
