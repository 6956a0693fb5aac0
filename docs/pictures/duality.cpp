// T on the rows of x, its dual on the rows of w, and the product that does not change: four matrices as shades.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <planish/planish.hpp>

#include "pictures.hpp"
#include "svg.hpp"

namespace pl = planish;

namespace pictures {
namespace {

constexpr pl::index tokens = 6, in = 12, out = 5, loud = 4;

struct Matrix {
  pl::index rows, columns;
  std::vector<double> values;

  Matrix(pl::index r, pl::index c) : rows(r), columns(c), values(static_cast<std::size_t>(r * c)) {}
  double& at(pl::index r, pl::index c) { return values[static_cast<std::size_t>(r * columns + c)]; }
  [[nodiscard]] double at(pl::index r, pl::index c) const { return values[static_cast<std::size_t>(r * columns + c)]; }
  pl::MatrixView<double> view() { return {values.data(), rows, columns}; }
  [[nodiscard]] pl::MatrixView<const double> view() const { return {values.data(), rows, columns}; }
  [[nodiscard]] double largest() const {
    double most = 0.0;
    for (double value : values) most = std::max(most, std::fabs(value));
    return most;
  }
};

Matrix transposed(const Matrix& m) {
  Matrix t(m.columns, m.rows);
  for (pl::index r = 0; r < m.rows; ++r)
    for (pl::index c = 0; c < m.columns; ++c) t.at(c, r) = m.at(r, c);
  return t;
}

Matrix product(const Matrix& x, const Matrix& w) {  // x · wᵀ
  Matrix y(x.rows, w.rows);
  for (pl::index r = 0; r < x.rows; ++r)
    for (pl::index o = 0; o < w.rows; ++o)
      for (pl::index c = 0; c < x.columns; ++c) y.at(r, o) += x.at(r, c) * w.at(o, c);
  return y;
}

/// Shades: blue above 0, orange below; full at ± `most`.
void shades(Svg& svg, double x, double y, const Matrix& m, double most) {
  constexpr double cell = 10.0;
  for (pl::index r = 0; r < m.rows; ++r)
    for (pl::index c = 0; c < m.columns; ++c) {
      const double part = std::min(1.0, std::sqrt(std::fabs(m.at(r, c)) / most));
      svg.rectangle(x + static_cast<double>(c) * cell, y + static_cast<double>(r) * cell, cell, cell,
                    m.at(r, c) > 0 ? "blue" : "orange", part);
    }
  svg.rectangle(x, y, static_cast<double>(m.columns) * cell, static_cast<double>(m.rows) * cell, "line");
}

void equation(Svg& svg, double top, const char* names[3], const Matrix& x, const Matrix& w, const Matrix& y,
              double most_x, double most_w) {
  svg.text(74, top, "middle", names[0]);
  svg.text(200, top, "middle", names[1]);
  svg.text(302, top, "middle", names[2]);
  shades(svg, 14, top + 38, x, most_x);
  svg.text(154, top + 72, "title middle", "·");
  shades(svg, 175, top + 8, transposed(w), most_w);
  svg.text(252, top + 72, "title middle", "=");
  shades(svg, 277, top + 38, y, y.largest());
}

}  // namespace

bool draw_duality(const std::string& folder) {
  pl::Random random(5);
  Matrix x(tokens, in), w(out, in);
  for (double& value : x.values) value = random.normal();
  for (pl::index r = 0; r < tokens; ++r) x.at(r, loud) *= 12.0;
  for (double& value : w.values) value = random.normal();

  std::vector<float> factors;  // SmoothQuant's middle way: what is loud is divided, its weights are multiplied
  for (pl::index c = 0; c < in; ++c) factors.push_back(c == loud ? 0.4f : 1.0f);
  const pl::Transform flatten{pl::Scale{factors}, pl::value_or_throw(pl::Hadamard::make(in, /*seed=*/3))};

  Matrix flat(tokens, in), folded = w;
  std::vector<double> scratch(static_cast<std::size_t>(flatten.scratch_size(tokens)));
  flatten.apply(std::as_const(x).view(), flat.view(), std::span<double>(scratch));
  pl::throw_if_failed(pl::fold_into_weights(flatten, folded.view()));
  const Matrix before = product(x, w), after = product(flat, folded);
  double worst = 0.0;
  for (std::size_t i = 0; i < before.values.size(); ++i)
    worst = std::max(worst, std::fabs(before.values[i] - after.values[i]));
  if (worst > 1e-13 * before.largest()) return false;

  Svg svg(340,
          "The product of x and the transposed w; x after a scale and a Hadamard transform with w after the dual of "
          "both; the products are the same.");
  const double most_x = x.largest(), most_w = std::max(w.largest(), folded.largest());
  svg.text(12, 22, "title", "T flattens x, its dual in w undoes it");
  const char* plain[] = {"x", "Wᵀ", "y"};
  const char* with_dual[] = {"T(x)", "W̃ᵀ, by the dual", "the same y"};
  equation(svg, 44, plain, x, w, before, most_x, most_w);
  equation(svg, 190, with_dual, flat, folded, after, most_x, most_w);
  svg.text(
      12, 332, "note",
      "largest |x| " + number(x.largest()) + ", of T(x) " + number(flat.largest()) + "; the two y agree to 13 digits");
  return svg.write(folder + "/duality.svg");
}

}  // namespace pictures
