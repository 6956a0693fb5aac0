// What the 3-bit codes of one tile mean: symmetric, symmetric and clipped, asymmetric.
#include <algorithm>
#include <vector>

#include <planish/planish.hpp>

#include "pictures.hpp"
#include "svg.hpp"

namespace pl = planish;

namespace pictures {
namespace {

double across(double value) { return 20.0 + (value + 3.4) * 320.0 / 6.2; }  // −3.4 … 2.8

/// A number line with a mark at the value of every code, the tile's values above it, where they land below.
template <class Q>
void number_line(Svg& svg, double top, const std::string& title, const Q& quantizer, const std::vector<float>& tile) {
  const auto codes = quantizer.quantize({tile.data(), 1, static_cast<pl::index>(tile.size())});
  const pl::Affine affine = codes.affine(0, 0);
  svg.text(12, top, "title", title);
  svg.text(
      348, top, "note end",
      "scale " + number(static_cast<double>(affine.scale), 2) + ", zero point " + std::to_string(affine.zero_point));
  const double y = top + 34;
  for (std::size_t c = 0; c < tile.size(); ++c) {
    const double from = across(static_cast<double>(tile[c]));
    svg.line(from, y - 14, across(static_cast<double>(codes.value(0, static_cast<pl::index>(c)))), y, "orange-line");
    svg.dot(from, y - 14, 2.5, "blue");
  }
  svg.line(16, y, 344, y, "line");
  const pl::CodeRange range = Q::scale_rule::codes(Q::bits);
  for (int code = range.lowest; code <= range.highest; ++code) {
    const double x = across(static_cast<double>(pl::to_value(code, affine)));
    svg.line(x, y - 4, x, y + 4, "line");
    svg.text(x, y + 17, code == affine.zero_point ? "title middle" : "note middle", std::to_string(code));
  }
}

}  // namespace

bool draw_codes(const std::string& folder) {
  using W3 = pl::Quantizer<3, pl::PerChannel>;
  using U3 = pl::Quantizer<3, pl::PerChannel, pl::Asymmetric>;
  const std::vector<float> tile{-0.75f, -0.5f, -0.2f, 0.1f, 0.35f, 0.6f, 0.8f, 1.15f, 1.5f, 2.4f};
  Svg svg(236,
          "Ten values and the eight codes of 3 bits on a number line: symmetric, symmetric with a clip of 0.7, and "
          "asymmetric.");
  number_line(svg, 24, "symmetric", W3{}, tile);
  number_line(svg, 98, "symmetric, clip 0.7", W3{.clip = {0.7f, 0.7f}}, tile);
  number_line(svg, 172, "asymmetric", U3{}, tile);
  return svg.write(folder + "/codes.svg");
}

}  // namespace pictures
