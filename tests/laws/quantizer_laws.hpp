#pragma once
// What every Quantizer keeps, whatever its width, granularity and rules.
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/quantizer/quantizer.hpp>

namespace laws {

using planish::index;
using planish::MatrixView;

/// Normal values of `spread`, an outlier in some rows, one row of zeroes.
inline std::vector<float> sample_matrix(index rows, index columns, std::uint64_t seed, double spread = 1.0) {
  planish::Random random(seed);
  std::vector<float> values(static_cast<std::size_t>(rows * columns));
  for (float& value : values) value = static_cast<float>(random.normal() * spread);
  for (index r = 0; r < rows; ++r) {
    if (columns > 0 && r % 3 == 1) values[static_cast<std::size_t>(r * columns + r % columns)] *= 30.0f;
    if (r % 5 == 4)
      for (index c = 0; c < columns; ++c) values[static_cast<std::size_t>(r * columns + c)] = 0.0f;
  }
  return values;
}

/// The tile that row r belongs to, g tiles from the left.
template <class Q>
MatrixView<const float> tile_of(MatrixView<const float> x, index r, index g, index width) {
  const index height = planish::detail::tile_rows<typename Q::granularity>(x.rows());
  const index top = r / height * height, first = g * width;
  return x.middle_rows(top, std::min(height, x.rows() - top))
      .middle_columns(first, std::min(width, x.columns() - first));
}

/// Codes are those of core/affine.hpp for the range that the rule finds, stay in range, and mean what they say: how
/// many do not.
template <class Q, class Made>
index codes_beside_the_formula(const Q& quantizer, MatrixView<const float> x, const Made& made) {
  const planish::TileScheme<typename Q::scale_rule> scheme{Q::bits, quantizer.clip};
  index wrong = 0;
  for (index r = 0; r < x.rows(); ++r)
    for (index c = 0; c < x.columns(); ++c) {
      planish::Affine affine{quantizer.static_scale, quantizer.static_zero_point};
      if (quantizer.static_scale == 0.0f) {
        const auto tile = tile_of<Q>(x, r, c / made.group_size(), made.group_size());
        affine = scheme.affine(planish::find_range(quantizer.rule, tile, scheme));
      }
      const int code = planish::to_code(x(r, c), affine, scheme.codes());
      const planish::Affine stored = made.affine(r, c);
      wrong += stored.scale != affine.scale || stored.zero_point != affine.zero_point || made.code(r, c) != code ||
               code < scheme.codes().lowest || code > scheme.codes().highest ||
               made.value(r, c) != planish::to_value(code, affine) || !(affine.scale > 0.0f);
    }
  return wrong;
}

/// Values that are representable come back as they were, so fake quantization done twice is fake quantization: how many
/// do not.
template <class Q, class Made>
index codes_that_move(MatrixView<const float> x, const Made& made) {
  const auto range = Q::scale_rule::codes(Q::bits);
  index wrong = 0;
  for (index r = 0; r < x.rows(); ++r)
    for (index c = 0; c < x.columns(); ++c)
      wrong += planish::to_code(made.value(r, c), made.affine(r, c), range) != made.code(r, c);
  return wrong;
}

/// The canonical codes that kernels pack have the same codes and values: how many have not.
template <class Made>
index codes_that_differ(const Made& made, const planish::CodesView& codes) {
  index wrong = 0;
  for (index r = 0; r < made.rows(); ++r)
    for (index c = 0; c < made.columns(); ++c)
      wrong += codes.code(r, c) != made.code(r, c) || codes.value(r, c) != made.value(r, c);
  return wrong;
}

/// What a type's laws found. Asserted by functions that are no templates: doctest's macros in each of some hundred
/// instances would take a minute to compile.
struct Findings {
  const char* quantize_error = nullptr;
  const char* codes_error = nullptr;
  index beside_the_formula = 0, moving = 0, different = 0;
};
inline void hold(const Findings& found, int bits, index rows, index columns, std::uint64_t seed) {
  INFO("bits " << bits << ", " << rows << " x " << columns << ", seed " << seed);
  CHECK(found.quantize_error == nullptr);
  CHECK(found.codes_error == nullptr);
  CHECK(found.beside_the_formula == 0);
  CHECK(found.moving == 0);
  CHECK(found.different == 0);
}

/// `packs`: false for rules whose zero points may lie outside the codes, which then are simulated but not packed.
template <class Q>
void quantizer_laws(const Q& quantizer, index rows, index columns, std::uint64_t seed, bool packs = true) {
  const std::vector<float> values = sample_matrix(rows, columns, seed);
  const MatrixView<const float> x(values.data(), rows, columns);
  Findings found;
  if (const auto made = quantizer.try_quantize(x)) {
    found.beside_the_formula = codes_beside_the_formula(quantizer, x, *made);
    found.moving = codes_that_move<Q>(x, *made);
    if (const auto codes = made->to_codes())
      found.different = codes_that_differ(*made, codes->view());
    else if (packs)
      found.codes_error = "no canonical codes";
  } else {
    found.quantize_error = "refused";
  }
  hold(found, Q::bits, rows, columns, seed);
}

inline void hold_error(bool quantized, double worst, double bound) {
  CHECK(quantized);
  CHECK(worst <= bound * (1.0 + 1e-4));
}

/// Unclipped min-max ranges: no value is further from its code's value than half a step, plus what rounding of the
/// quotient and of the product may add; asymmetric ranges lose up to half a step more at their ends to the rounding of
/// the zero point.
template <class Q>
void errors_stay_below_half_a_step(const Q& quantizer, MatrixView<const float> x) {
  const auto made = quantizer.try_quantize(x);
  const double bound = Q::scale_rule::symmetry == planish::Symmetry::symmetric ? 0.5 : 1.0;
  double worst = 0.0;
  if (made)
    for (index r = 0; r < x.rows(); ++r)
      for (index c = 0; c < x.columns(); ++c) {
        const double error = std::fabs(static_cast<double>(x(r, c)) - static_cast<double>(made->value(r, c)));
        worst = std::fmax(worst, error / static_cast<double>(made->affine(r, c).scale));
      }
  hold_error(made.has_value(), worst, bound);
}

}  // namespace laws
