#pragma once
// What weight-only products must compute, for the tests on an emulator and for the checks on a device.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <planish/core/half.hpp>
#include <planish/core/random.hpp>
#include <planish/kernels/cuda/element_type.cuh>
#include <planish/packing/codes.hpp>

#include "../kernels/samples.hpp"

namespace oracles {

namespace pl = planish;
namespace cuda = planish::kernels::cuda;
using pl::index;

/// A matrix of a type in memory with gaps behind its rows, filled with NaN where nobody may read or write; and its
/// values, as stored.
struct Matrix {
  index rows, columns, stride;
  cuda::ElementType type;
  std::vector<float> values;         // rows × columns
  std::vector<std::uint16_t> words;  // two to a float32

  Matrix(index r, index c, index s, cuda::ElementType t, std::vector<float> x = {})
      : rows(r), columns(c), stride(s), type(t), values(std::move(x)) {
    words.assign(static_cast<std::size_t>(rows * stride * cuda::element_bytes(type) / 2), std::uint16_t{0xffff});
    if (values.empty()) return;
    for (index m = 0; m < rows; ++m)
      for (index k = 0; k < columns; ++k) {
        float& value = values[static_cast<std::size_t>(m * columns + k)];
        cuda::store_element(words.data(), type, m * stride + k, value);
        value = (*this)(m, k);
      }
  }
  float operator()(index m, index k) const { return cuda::load_element(words.data(), type, m * stride + k); }
  /// Whether every element behind a row is still what it was.
  [[nodiscard]] bool gaps_are_untouched() const {
    const index halves = cuda::element_bytes(type) / 2;
    for (index m = 0; m < rows; ++m)
      for (index k = columns * halves; k < stride * halves; ++k)
        if (words[static_cast<std::size_t>(m * stride * halves + k)] != 0xffff) return false;
    return true;
  }
};

/// Tokens and scales for which every sum is exact in float, in any order: small integers, powers of two.
inline std::vector<float> small_integers(index count, pl::Random& random) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(static_cast<int>(random.below(7)) - 3);
  return values;
}
inline void make_powers_of_two(pl::Codes& codes, pl::Random& random) {
  for (float& scale : codes.scales()) scale = std::ldexp(1.0f, -static_cast<int>(random.below(4)));
}

/// The exact output, and the sum of the magnitudes of its terms, which bounds what float sums may be off by.
struct Exact {
  double value = 0.0, magnitude = 0.0;
};
inline Exact exact_output(const Matrix& x, const pl::CodesView& w, index m, index n) {
  Exact e;
  for (index k = 0; k < w.columns; ++k) {
    const pl::Affine affine = w.affine(n, k / w.group_size);
    const double term = double{x(m, k)} * (w.code(n, k) - affine.zero_point) * double{affine.scale};
    e.value += term;
    e.magnitude += std::abs(term);
  }
  return e;
}

/// How far a float32 output may be from the exact one: the contract of docs/cuda.md.
inline double allowed_error(const Exact& e, index columns) {
  return e.magnitude * std::ldexp(1.0 + static_cast<double>(columns) / 64.0, -21) +
         std::abs(e.value) * std::ldexp(1.0, -23);
}

}  // namespace oracles
