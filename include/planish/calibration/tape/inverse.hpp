#pragma once
// Inverses of small square matrices, the factors of transforms: computed in float64 whatever the tape holds, on the
// calling thread.
#include <utility>

#include <planish/calibration/tape/lanes.hpp>
#include <planish/calibration/tape/transpose.hpp>
#include <planish/core/array.hpp>
#include <planish/core/lu.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

namespace detail {

/// n × n values, row-major.
using SquareMatrix = Array<double>;

[[nodiscard]] inline std::size_t square_position(index n, index row, index column) noexcept {
  return static_cast<std::size_t>(row * n + column);
}

template <class T>
[[nodiscard]] SquareMatrix square_matrix(MatrixView<const T> m, bool transposed = false) {
  SquareMatrix values;
  values.reserve(static_cast<std::size_t>(m.size()));
  for (index r = 0; r < m.rows(); ++r)
    for (index c = 0; c < m.columns(); ++c) values.push_back(static_cast<double>(transposed ? m(c, r) : m(r, c)));
  return values;
}

[[nodiscard]] inline SquareMatrix square_transpose(const SquareMatrix& m, index n) {
  return square_matrix(MatrixView<const double>(m.data(), n, n), true);
}

/// a · b.
[[nodiscard]] inline SquareMatrix square_product(const SquareMatrix& a, const SquareMatrix& b, index n) {
  SquareMatrix product(a.size(), 0.0);
  for (index i = 0; i < n; ++i)
    for (index k = 0; k < n; ++k) {
      const double factor = a[square_position(n, i, k)];
      const double* const from = b.data() + k * n;
      double* const to = product.data() + i * n;
      const Lanes<double> factors(factor);
      for_lanes<double>(
          n, [&](auto at) { store<double>(multiply_add<double>(factors, load(from, at), load(to, at)), to, at); });
    }
  return product;
}

template <class T>
void check_square(const char* operation, Variable<T> a) {
  if (a.rows() != a.columns()) Tape<T>::fail(operation, " takes a square matrix, not ", a.rows(), " x ", a.columns());
}

}  // namespace detail

/// A⁻ᵀ, n × n. dA = −A⁻ᵀ Gᵀ A⁻ᵀ for the gradient G. Throws Error: `singular` if A has no inverse, `not_finite` for NaN
/// or infinity.
template <class T>
[[nodiscard]] Variable<T> inverse_transpose(Variable<T> a) {
  detail::check_square("an inverse", a);
  const index n = a.rows();
  Tape<T>& tape = a.tape();
  detail::SquareMatrix inverse = value_or_throw(planish::inverse(detail::square_matrix(a.value(), true), n));
  auto [y, out] = tape.result(n, n, {a});
  for (index r = 0; r < n; ++r)
    for (index c = 0; c < n; ++c) out(r, c) = static_cast<T>(inverse[detail::square_position(n, r, c)]);
  tape.on_backward(y, [&tape, a, n, inverse = std::move(inverse)](MatrixView<const T> dy) {
    const detail::SquareMatrix inner = detail::square_product(detail::square_matrix(dy, true), inverse, n);
    const detail::SquareMatrix product = detail::square_product(inverse, inner, n);
    const auto da = tape.gradient(a);
    for (index r = 0; r < n; ++r)
      accumulate(da.at.row(r), n, da.fresh,
                 [&](index c) { return static_cast<T>(-product[detail::square_position(n, r, c)]); });
  });
  return y;
}

/// Orthogonal Q = (I − A/2)⁻¹ (I + A/2) of the skew-symmetric A = L − Lᵀ, L the strict lower triangle of x (n × n): the
/// Cayley map as PyTorch's orthogonal parametrization has it. Only L gets a gradient. Throws Error: `not_finite` for
/// NaN or infinity.
///
/// With K = (I − A/2)⁻¹, which always exists, Q = 2K − I, and dA = Kᵀ G Kᵀ for the gradient G.
template <class T>
[[nodiscard]] Variable<T> cayley(Variable<T> x) {
  detail::check_square("a Cayley map", x);
  const index n = x.rows();
  Tape<T>& tape = x.tape();
  const MatrixView<const T> in = x.value();
  detail::SquareMatrix shifted(static_cast<std::size_t>(n * n));
  for (index r = 0; r < n; ++r) {
    shifted[detail::square_position(n, r, r)] = 1.0;
    for (index c = 0; c < r; ++c) {
      const double half = 0.5 * static_cast<double>(in(r, c));
      shifted[detail::square_position(n, r, c)] = -half;
      shifted[detail::square_position(n, c, r)] = half;
    }
  }
  const detail::SquareMatrix k = value_or_throw(planish::inverse(shifted, n));
  auto [q, out] = tape.result(n, n, {x});
  for (index r = 0; r < n; ++r)
    for (index c = 0; c < n; ++c)
      out(r, c) = static_cast<T>(2.0 * k[detail::square_position(n, r, c)] - (r == c ? 1.0 : 0.0));
  tape.on_backward(q, [&tape, x, n, k_transposed = detail::square_transpose(k, n)](MatrixView<const T> dq) {
    const detail::SquareMatrix outer = detail::square_product(k_transposed, detail::square_matrix(dq), n);
    const detail::SquareMatrix da = detail::square_product(outer, k_transposed, n);
    const auto dx = tape.gradient(x);
    for (index r = 0; r < n; ++r)
      accumulate(dx.at.row(r), n, dx.fresh, [&](index c) {
        return c < r ? static_cast<T>(da[detail::square_position(n, r, c)] - da[detail::square_position(n, c, r)])
                     : T{};
      });
  });
  return q;
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
