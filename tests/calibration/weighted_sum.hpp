#pragma once
#include <cmath>

#include <planish/calibration/tape/tape.hpp>

namespace tape_check {

using planish::index;
using planish::MatrixView;
namespace tape = planish::calibration::tape;

/// Σ weightᵢⱼ · xᵢⱼ with fixed irregular weights: a loss to which every element contributes differently.
template <class T>
[[nodiscard]] tape::Variable<T> weighted_sum(tape::Variable<T> x) {
  auto& t = x.tape();
  const auto in = x.value();
  const auto weight = [](index r, index c) {
    return static_cast<T>(std::sin(1.0 + 0.7 * static_cast<double>(r * 131 + c)));
  };
  auto [y, out] = t.result(1, 1, {x});
  out(0, 0) = T{};
  for (index r = 0; r < in.rows(); ++r)
    for (index c = 0; c < in.columns(); ++c) out(0, 0) += weight(r, c) * in(r, c);
  t.on_backward(y, [&t, x, in, weight](MatrixView<const T> dy) {
    const auto dx = t.gradient(x);
    for (index r = 0; r < in.rows(); ++r)
      for (index c = 0; c < in.columns(); ++c) dx.at(r, c) = (dx.fresh ? T{} : dx.at(r, c)) + dy(0, 0) * weight(r, c);
  });
  return y;
}

}  // namespace tape_check
