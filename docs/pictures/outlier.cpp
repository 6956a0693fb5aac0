// One token with a loud channel and its 4-bit grid, before and after a Hadamard transform.
#include <algorithm>
#include <cmath>
#include <vector>

#include <planish/planish.hpp>

#include "pictures.hpp"
#include "svg.hpp"

namespace pl = planish;

namespace pictures {
namespace {

constexpr pl::index channels = 64, loud = 21;
using A4 = pl::Quantizer<4, pl::PerToken>;

struct Token {
  std::vector<float> values, rounded;  // what comes in, what its codes mean
  float step = 0.0f;
  int zeros = 0;  // codes that are 0
};

Token quantized(std::vector<float> values) {
  const auto codes = A4{}.quantize({values.data(), 1, channels});
  Token token{std::move(values), {}, codes.scales()[0], 0};
  for (pl::index c = 0; c < channels; ++c) {
    token.rounded.push_back(codes.value(0, c));
    token.zeros += codes.code(0, c) == 0;
  }
  return token;
}

std::vector<float> transformed(const pl::Hadamard& hadamard, const std::vector<float>& values) {
  const std::vector<double> in(values.begin(), values.end());
  std::vector<double> out(in.size()), scratch(static_cast<std::size_t>(hadamard.scratch_size(1)));
  hadamard.apply(pl::MatrixView<const double>(in.data(), 1, channels), pl::MatrixView<double>(out.data(), 1, channels),
                 std::span<double>(scratch));
  return {out.begin(), out.end()};
}

/// Error over the quiet channels, relative to what they hold.
double quiet_error(const std::vector<float>& before, const std::vector<float>& after) {
  double error = 0.0, signal = 0.0;
  for (std::size_t c = 0; c < before.size(); ++c) {
    if (c == loud) continue;
    const double value = static_cast<double>(before[c]), difference = static_cast<double>(after[c]) - value;
    error += difference * difference;
    signal += value * value;
  }
  return std::sqrt(error / signal);
}

void panel(Svg& svg, double top, const std::string& title, const Token& token, double error) {
  constexpr double height = 104.0, left = 24.0, bar = 5.0;
  float most = 0.0f;
  for (float value : token.values) most = std::max(most, std::fabs(value));
  const double middle = top + 44.0 + height / 2.0, unit = height / 2.0 / static_cast<double>(most);
  svg.text(12, top + 16, "title", title);
  svg.text(12, top + 33, "note",
           "step " + number(static_cast<double>(token.step), 2) + " · " + std::to_string(token.zeros) + " of " +
               std::to_string(channels) + " codes 0 · quiet channels off by " + number(100.0 * error, 0) + " %");
  for (int code = -7; code <= 7; ++code) {
    const double y = middle - code * static_cast<double>(token.step) * unit;
    svg.line(left, y, left + channels * bar, y, code == 0 ? "line" : "faint");
    if (code % 7 == 0) svg.text(left - 4, y + 4, "note end", std::to_string(code));
  }
  for (std::size_t c = 0; c < token.values.size(); ++c) {
    const double x = left + static_cast<double>(c) * bar, value = static_cast<double>(token.values[c]) * unit;
    svg.rectangle(x + 1, value > 0 ? middle - value : middle, bar - 2, std::fabs(value), "blue");
    svg.dot(x + bar / 2, middle - static_cast<double>(token.rounded[c]) * unit, 1.6, "orange");
  }
}

}  // namespace

bool draw_outlier(const std::string& folder) {
  pl::Random random(7);
  std::vector<float> values(channels);
  for (float& value : values) value = static_cast<float>(random.normal());
  values[loud] = 30.0f;
  const pl::Hadamard hadamard = pl::value_or_throw(pl::Hadamard::make(channels, /*seed=*/1));
  const Token plain = quantized(values), flat = quantized(transformed(hadamard, values));
  // A Hadamard matrix with signs S H is undone by its transpose; duals are inverse transposes, so it is rebuilt here.
  std::vector<float> back(values.size(), 0.0f);
  for (std::size_t c = 0; c < back.size(); ++c) {
    std::vector<float> unit(values.size(), 0.0f);
    unit[c] = 1.0f;
    const std::vector<float> row = transformed(hadamard, unit);
    for (std::size_t i = 0; i < row.size(); ++i) back[c] += row[i] * flat.rounded[i];
  }

  Svg svg(336,
          "A token of 64 channels, one of them loud, with the 15 steps of its 4-bit grid; the same token after a "
          "Hadamard transform, where the loud channel is spread over all and the steps are finer.");
  panel(svg, 6, "One loud channel sets the step of its token", plain, quiet_error(values, plain.rounded));
  panel(svg, 166, "The same token after a Hadamard transform", flat, quiet_error(values, back));
  svg.dot(28, 326, 3, "blue");
  svg.text(36, 330, "note", "value of a channel");
  svg.dot(158, 326, 3, "orange");
  svg.text(166, 330, "note", "value that its code stands for");
  return svg.write(folder + "/outlier.svg");
}

}  // namespace pictures
