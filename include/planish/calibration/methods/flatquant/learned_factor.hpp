#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <planish/calibration/methods/flatquant/learned_scale.hpp>
#include <planish/calibration/tape/inverse.hpp>
#include <planish/calibration/tape/product.hpp>
#include <planish/core/array.hpp>
#include <planish/transform/hadamard.hpp>
#include <planish/transform/rotation.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// A factor of a Kronecker transform on a tape.
template <tape::MustBeReal T>
struct FactorVariables {
  tape::Variable<T> matrix, inverse_transpose;  // n × n
};

namespace detail {

/// F of a factor, n × n row-major, orthogonal.
[[nodiscard]] inline std::vector<double> fixed_rotation(index n, FactorStart start, std::uint64_t seed) {
  const auto size = static_cast<std::size_t>(n * n);
  std::vector<double> f(size);
  for (index i = 0; i < n; ++i) f[static_cast<std::size_t>(i * n + i)] = 1.0;
  if (start == FactorStart::identity) return f;
  if (start == FactorStart::hadamard) {
    if (const auto hadamard = Hadamard::make(n, seed)) {
      const std::vector<double> identity = f;
      std::vector<double> scratch(static_cast<std::size_t>(hadamard->scratch_size(n)));
      hadamard->apply(MatrixView<const double>(identity.data(), n, n), MatrixView<double>(f.data(), n, n),
                      std::span<double>(scratch));
      return f;
    }
  }
  const Array<double> haar = planish::detail::random_orthogonal(n, seed);
  return {haar.begin(), haar.end()};
}

}  // namespace detail

/// An invertible n × n matrix that is learned, in a chosen form and from a chosen start.
template <tape::MustBeReal T>
class LearnedFactor {
 public:
  LearnedFactor(ParameterSet<T>& parameters, const std::string& name, index n, const FlatQuant& method,
                std::uint64_t seed)
      : n_(n), identity_(static_cast<std::size_t>(n * n)) {
    for (index i = 0; i < n; ++i) identity_[static_cast<std::size_t>(i * n + i)] = T{1};
    const bool svd = method.factor_form == FactorForm::svd;
    const bool cayley = method.factor_start == FactorStart::cayley;
    if (svd) {
      left_ = &parameters.add(name + ".left_skew", n, n);
      right_ = &parameters.add(name + ".right_skew", n, n);
      singular_.emplace(parameters, name + ".singular", std::vector<float>(static_cast<std::size_t>(n), 1.0f),
                        method.scale_form);
      if (cayley) {
        fill(*left_, planish::detail::random_orthogonal(n, seed));
        fill(*right_, planish::detail::random_orthogonal(n, seed + 1));
      }
    } else {
      left_ = &parameters.add(name + ".deviation", n, n);
    }
    if (svd && (cayley || method.factor_start == FactorStart::identity)) return;
    const std::vector<double> f =
        cayley ? partial_rotation(n, seed) : detail::fixed_rotation(n, method.factor_start, seed);
    // Where a factor has an inverse of its own, its fixed part is of float32 in every precision: what a file holds of
    // it is then the whole. The other form needs it orthogonal.
    fixed_.resize(f.size());
    std::transform(f.begin(), f.end(), fixed_.begin(),
                   [svd](double v) { return static_cast<T>(svd ? v : static_cast<float>(v)); });
  }

  [[nodiscard]] index size() const noexcept { return n_; }

  /// Throws Error with `singular` if P has lost its inverse.
  [[nodiscard]] FactorVariables<T> record(tape::Tape<T>& on) {
    if (!singular_) {
      const tape::Variable<T> free = tape::add(left_->record(on), on.constant({identity_.data(), n_, n_}));
      const tape::Variable<T> matrix = tape::multiply(on.constant({fixed_.data(), n_, n_}), free);
      return {matrix, tape::inverse_transpose(matrix)};
    }
    tape::Variable<T> u = tape::cayley(left_->record(on));
    const tape::Variable<T> v = tape::cayley(right_->record(on)), s = singular_->record(on);
    if (!fixed_.empty()) u = tape::multiply(on.constant({fixed_.data(), n_, n_}), u);
    return {tape::multiply_transposed(tape::scale_columns(u, s), v),
            tape::multiply_transposed(tape::scale_columns(u, tape::reciprocal(s)), v)};
  }

 private:
  static void fill(LearnedMatrix<T>& matrix, std::span<const double> values) {
    std::transform(values.begin(), values.end(), matrix.values.begin(), [](double v) { return static_cast<T>(v); });
  }

  /// Cayley of the skew part of a Haar rotation's lower triangle.
  static std::vector<double> partial_rotation(index n, std::uint64_t seed) {
    const Array<double> haar = planish::detail::random_orthogonal(n, seed);
    tape::Tape<double> on;
    const MatrixView<const double> q = tape::cayley(on.constant({haar.data(), n, n})).value();
    return {q.data(), q.data() + n * n};
  }

  index n_;
  std::vector<T> identity_, fixed_;  // n × n; `fixed_` empty: none
  LearnedMatrix<T>* left_ = nullptr;
  LearnedMatrix<T>* right_ = nullptr;  // svd only
  std::optional<LearnedScale<T>> singular_;
};

}  // namespace planish::inline PLANISH_ABI::calibration
