#pragma once
#include <cmath>
#include <numbers>
#include <type_traits>

#include <planish/calibration/tape/arithmetic.hpp>
#include <planish/calibration/tape/exponential_lanes.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

namespace detail {

/// y = f(x), a register at a time; `slope` is a function of x.
template <class T, class Function, class Slope>
[[nodiscard]] Variable<T> map_lanes(Variable<T> x, Function function, Slope slope) {
  Tape<T>& tape = x.tape();
  const MatrixView<const T> in = x.value();
  auto [y, result] = tape.result(in.rows(), in.columns(), {x});
  const index block = rows_per_block(in.rows(), in.columns());
  for_row_blocks(tape.executor(), in.rows(), block, [&, out = result](index first, index count) {
    for (index r = first; r < first + count; ++r)
      for_lanes<T>(in.columns(), [&](auto at) { store<T>(function(load(in.row(r), at)), out.row(r), at); });
  });
  tape.on_backward(y, [&tape, x, in, block, slope](MatrixView<const T> dy) {
    const auto dx = tape.gradient(x);
    for_row_blocks(tape.executor(), in.rows(), block, [&](index first, index count) {
      for (index r = first; r < first + count; ++r)
        for_lanes<T>(in.columns(), [&](auto at) {
          accumulate<T>(load(dy.row(r), at) * slope(load(in.row(r), at)), dx.at.row(r), at, dx.fresh);
        });
    });
  });
  return y;
}

/// z = f(x) ⊙ y; `both` gives f and its derivative.
template <class T, class Function, class Both>
[[nodiscard]] Variable<T> gate_lanes(Variable<T> x, Variable<T> y, Function function, Both both) {
  check_same_shape("a product by elements", x, y);
  Tape<T>& tape = x.tape();
  const MatrixView<const T> a = x.value(), b = y.value();
  auto [z, result] = tape.result(a.rows(), a.columns(), {x, y});
  const index block = rows_per_block(a.rows(), a.columns());
  for_row_blocks(tape.executor(), a.rows(), block, [&, out = result](index first, index count) {
    for (index r = first; r < first + count; ++r)
      for_lanes<T>(a.columns(),
                   [&](auto at) { store<T>(function(load(a.row(r), at)) * load(b.row(r), at), out.row(r), at); });
  });
  tape.on_backward(z, [&tape, x, y, a, b, block, both](MatrixView<const T> dz) {
    const auto dx = x.needs_gradient() ? tape.gradient(x) : GradientTarget<T>{};
    const auto dy = y.needs_gradient() ? tape.gradient(y) : GradientTarget<T>{};
    const bool to_x = x.needs_gradient(), to_y = y.needs_gradient();
    for_row_blocks(tape.executor(), a.rows(), block, [&](index first, index count) {
      for (index r = first; r < first + count; ++r)
        for_lanes<T>(a.columns(), [&](auto at) {
          const Lanes<T> slope = load(dz.row(r), at);
          const auto [f, derivative] = both(load(a.row(r), at));
          if (to_x) accumulate<T>(slope * load(b.row(r), at) * derivative, dx.at.row(r), at, dx.fresh);
          if (to_y) accumulate<T>(slope * f, dy.at.row(r), at, dy.fresh);
        });
    });
  });
  return z;
}

template <class T>
struct FunctionAndDerivative {
  Lanes<T> function, derivative;
};

template <class T>
[[nodiscard]] PLANISH_ALWAYS_INLINE Lanes<T> silu_of(Lanes<T> x) noexcept {
  return x * sigmoid_of<T>(x);
}

template <class T>
[[nodiscard]] PLANISH_ALWAYS_INLINE FunctionAndDerivative<T> silu_with_derivative(Lanes<T> x) noexcept {
  const Lanes<T> s = sigmoid_of<T>(x), value = x * s;
  return {value, multiply_add<T>(value, Lanes<T>(T{1}) - s, s)};
}

/// Φ(x) = (1 + erf(x/√2)) / 2.
template <class T>
[[nodiscard]] PLANISH_ALWAYS_INLINE Lanes<T> normal_distribution(Lanes<T> x) noexcept {
  const Lanes<T> scaled = x * Lanes<T>(static_cast<T>(1.0 / std::numbers::sqrt2)), half(T{0.5});
  if constexpr (std::is_same_v<T, float>)
    return multiply_add<T>(xsimd::erf(scaled), half, half);
  else
    return lane_by_lane<T>(scaled, [](T v) { return T{0.5} * std::erfc(-v); });
}

}  // namespace detail

/// x · sigmoid(x) (arXiv 1702.03118).
template <class T>
[[nodiscard]] Variable<T> silu(Variable<T> x) {
  return detail::map_lanes(
      x, [](Lanes<T> v) { return detail::silu_of<T>(v); },
      [](Lanes<T> v) { return detail::silu_with_derivative<T>(v).derivative; });
}

/// silu(gate) ⊙ up (arXiv 2002.05202), of one shape.
template <class T>
[[nodiscard]] Variable<T> swiglu(Variable<T> gate, Variable<T> up) {
  return detail::gate_lanes(
      gate, up, [](Lanes<T> v) { return detail::silu_of<T>(v); },
      [](Lanes<T> v) { return detail::silu_with_derivative<T>(v); });
}

/// x ⊙ y, of one shape.
template <class T>
[[nodiscard]] Variable<T> multiply_elements(Variable<T> x, Variable<T> y) {
  return detail::gate_lanes(
      x, y, [](Lanes<T> v) { return v; },
      [](Lanes<T> v) {
        return detail::FunctionAndDerivative<T>{v, Lanes<T>(T{1})};
      });
}

/// x · Φ(x), Φ the distribution function of the normal distribution (arXiv 1606.08415).
template <class T>
[[nodiscard]] Variable<T> gelu(Variable<T> x) {
  constexpr T density = static_cast<T>(std::numbers::inv_sqrtpi / std::numbers::sqrt2);
  return detail::map_lanes(
      x, [](Lanes<T> v) { return v * detail::normal_distribution<T>(v); },
      [](Lanes<T> v) {
        const Lanes<T> power = power_of_two<T>(v * v * Lanes<T>(T{-0.5} * std::numbers::log2e_v<T>));
        return multiply_add<T>(v * Lanes<T>(density), power, detail::normal_distribution<T>(v));
      });
}

/// The approximation x · (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2 of gelu ("gelu_new", "gelu_pytorch_tanh").
template <class T>
[[nodiscard]] Variable<T> gelu_tanh(Variable<T> x) {
  // (1 + tanh(u)) / 2 = sigmoid(2u)
  constexpr T slope = static_cast<T>(2.0 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi);
  constexpr T cubic = static_cast<T>(0.044715 * 2.0 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi);
  const auto gate = [](Lanes<T> v) {
    return sigmoid_of<T>(v * multiply_add<T>(Lanes<T>(cubic), v * v, Lanes<T>(slope)));
  };
  return detail::map_lanes(
      x, [gate](Lanes<T> v) { return v * gate(v); },
      [gate](Lanes<T> v) {
        const Lanes<T> s = gate(v);
        const Lanes<T> inner = v * multiply_add<T>(Lanes<T>(T{3} * cubic), v * v, Lanes<T>(slope));
        return multiply_add<T>(s * (Lanes<T>(T{1}) - s), inner, s);
      });
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
