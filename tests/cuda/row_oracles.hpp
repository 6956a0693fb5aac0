#pragma once
// What the kernels of rows must compute, for the tests on an emulator and for the checks on a device.
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <planish/core/half.hpp>
#include <planish/kernels/cuda/element_type.cuh>
#include <planish/kernels/cuda/row_codes.cuh>
#include <planish/kernels/reference/quantize_rows.hpp>

#include "../kernels/samples.hpp"

namespace oracles {

namespace pl = planish;
namespace cuda = planish::kernels::cuda;
using pl::index;

inline std::uint32_t bits_of(float value) {
  return std::isnan(value) ? 0x7fc00000u : std::bit_cast<std::uint32_t>(value);
}

/// Rows of a type, and their values.
struct Input {
  std::vector<float> values;
  std::vector<std::uint16_t> halves;
  cuda::ElementType type;

  Input(std::vector<float> x, cuda::ElementType t) : values(std::move(x)), type(t) {
    if (type == cuda::ElementType::float32) return;
    for (float& value : values) {
      const bool brain = type == cuda::ElementType::bfloat16;
      halves.push_back(brain ? pl::BFloat16::from_float(value).bits : pl::Half::from_float(value).bits);
      value = brain ? pl::BFloat16{halves.back()}.to_float() : pl::Half{halves.back()}.to_float();
    }
  }
  [[nodiscard]] const void* data() const {
    return type == cuda::ElementType::float32 ? static_cast<const void*>(values.data()) : halves.data();
  }
};

/// Differences between rows as bytes or nibbles and the reference's.
inline index differences(pl::QuantizedRowsSpan made, pl::QuantizedRowsView expected, cuda::CodeForm form, bool sums) {
  index wrong = 0;
  for (index r = 0; r < expected.rows; ++r) {
    if (form == cuda::CodeForm::bytes) {
      for (index c = 0; c < made.stride; ++c)
        wrong += made.row(r)[c] != (c < expected.columns ? expected.row(r)[c] : 0);
    } else {
      for (index c = 0; c < expected.columns; ++c) {
        const int nibble = static_cast<std::uint8_t>(made.row(r)[c / 2]) >> (c % 2 * 4) & 15;
        wrong += nibble - 8 != expected.row(r)[c];
      }
    }
    wrong += bits_of(made.scales[r]) != bits_of(expected.scales[r]);
    if (sums) wrong += made.sums[r] != expected.sums[r];
    if (expected.zero_points != nullptr) wrong += made.zero_points[r] != expected.zero_points[r];
  }
  return wrong;
}

inline std::vector<float> awkward(index rows, index columns, pl::Random& random) {
  auto x = samples::floats(rows * columns, random, 3.0);
  for (index r = 0; r < rows && columns > 0; ++r) {
    float* row = x.data() + r * columns;
    const index at = static_cast<index>(random.below(static_cast<std::uint64_t>(columns)));
    if (r % 7 == 1) row[at] = std::numeric_limits<float>::quiet_NaN();
    if (r % 7 == 2) row[at] = -std::numeric_limits<float>::infinity();
    if (r % 7 == 3) std::fill_n(row, columns, 0.0f);
    if (r % 7 == 4)
      for (index c = 0; c < columns; ++c) row[c] *= 0x1p-120f;
    if (r % 7 == 5) row[at] *= 100.0f;
  }
  return x;
}

/// How many rows held NaN or infinity.
inline index bad_rows(pl::QuantizedRowsView rows) {
  index bad = 0;
  for (index r = 0; r < rows.rows; ++r) bad += std::isnan(rows.scales[r]) ? 1 : 0;
  return bad;
}

/// Copies every buffer of `from` to those of `to` by copy(to, from, bytes).
template <class Copy>
void bring(pl::QuantizedRowsSpan to, pl::QuantizedRowsSpan from, const Copy& copy) {
  const auto rows = static_cast<std::size_t>(to.rows);
  copy(to.codes, from.codes, rows * static_cast<std::size_t>(to.stride));
  copy(to.scales, from.scales, rows * 4);
  if (from.sums != nullptr) copy(to.sums, from.sums, rows * 4);
  if (from.zero_points != nullptr) copy(to.zero_points, from.zero_points, rows * 4);
}

/// round(Lᵀ · M) · R with U rounded to E, sums in double: what the matrix units compute up to the order of sums.
template <class E>
std::vector<double> twin(const std::vector<float>& x, index rows, int n1, int n2, const std::vector<float>& left,
                         const std::vector<float>& right) {
  const auto rounded = [](double v) { return double{E::from_float(static_cast<float>(v)).to_float()}; };
  const index n = index{n1} * n2;
  std::vector<double> y(static_cast<std::size_t>(rows * n)), u(static_cast<std::size_t>(n));
  const auto at = [](const auto& v, index i) { return v[static_cast<std::size_t>(i)]; };
  for (index r = 0; r < rows; ++r) {
    for (int i = 0; i < n1; ++i)
      for (int j = 0; j < n2; ++j) {
        double sum = 0.0;
        for (int k = 0; k < n1; ++k) sum += rounded(at(left, k * n1 + i)) * rounded(at(x, r * n + k * n2 + j));
        u[static_cast<std::size_t>(i * n2 + j)] = rounded(sum);
      }
    for (int i = 0; i < n1; ++i)
      for (int j = 0; j < n2; ++j) {
        double sum = 0.0;
        for (int k = 0; k < n2; ++k) sum += u[static_cast<std::size_t>(i * n2 + k)] * rounded(at(right, k * n2 + j));
        y[static_cast<std::size_t>(r * n + i * n2 + j)] = sum;
      }
  }
  return y;
}

}  // namespace oracles
