#include "line_chart.hpp"

#include <algorithm>

#include "chart_frame.hpp"

namespace llama::page {
namespace {

/// The path of a line: absolute at the start and behind gaps, relative in between.
std::string path_of(const std::vector<double>& values, const ChartFrame& frame, const LogAxis& axis) {
  std::string path;
  bool pen_down = false;
  double last_x = 0.0, last_y = 0.0;  // as rounded, so that errors do not add up
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      pen_down = false;
      continue;
    }
    const double x = std::round(frame.x(static_cast<double>(i)) * 10.0) / 10.0;
    const double y = std::round(axis.at(values[i]) * 10.0) / 10.0;
    path += pen_down ? 'l' + coordinate(x - last_x) + ' ' + coordinate(y - last_y)
                     : 'M' + coordinate(x) + ' ' + coordinate(y);
    pen_down = true;
    last_x = x;
    last_y = y;
  }
  return path;
}

/// Where labels of lines that end at `wanted` go: in the same order, at least `distance` apart, within the plot.
std::vector<double> spread(const std::vector<double>& wanted, double distance, double top, double bottom) {
  std::vector<std::size_t> order(wanted.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return wanted[a] < wanted[b]; });
  std::vector<double> at(wanted);
  double least = top;
  for (const std::size_t i : order) least = (at[i] = std::max(at[i], least)) + distance;
  double most = bottom;
  for (auto i = order.rbegin(); i != order.rend(); ++i) most = (at[*i] = std::min(at[*i], most)) - distance;
  return at;
}

}  // namespace

void widen(double& least, double& greatest, const std::vector<double>& values) {
  for (const double v : values) {
    if (!std::isfinite(v) || !(v > 0.0)) continue;
    least = least > 0.0 ? std::min(least, v) : v;
    greatest = std::max(greatest, v);
  }
}

void LineChart::draw(Markup& page) const {
  double low = least, high = greatest;
  std::size_t points = 1;
  for (const Line& line : lines) {
    if (least == 0.0 && greatest == 0.0) widen(low, high, line.values);
    points = std::max(points, line.values.size());
  }
  const ChartFrame frame{.width = width,
                         .height = height,
                         .left = 48,
                         .right = width - label_room,
                         .top = 10,
                         .bottom = height - 38,
                         .last_x = static_cast<long long>(points) - 1,
                         .first_x = first_x};
  const LogAxis axis(low, high, frame.bottom, frame.top);
  frame.draw(page, description, x_title, axis, tick, [&] {
    std::vector<double> ends;
    std::vector<const Line*> labelled;
    for (const Line& line : lines) {
      page.leaf("path", {{"class", "line " + line.style}, {"d", path_of(line.values, frame, axis)}});
      if (line.has_points)
        for (std::size_t i = 0; i < line.values.size(); ++i)
          if (std::isfinite(line.values[i]))
            page.leaf("circle", {{"class", "dot " + line.style},
                                 {"cx", coordinate(frame.x(static_cast<double>(i)))},
                                 {"cy", coordinate(axis.at(line.values[i]))},
                                 {"r", "2.2"}});
      if (line.label.empty()) continue;
      const auto last =
          std::find_if(line.values.rbegin(), line.values.rend(), [](double v) { return std::isfinite(v); });
      if (last == line.values.rend()) continue;
      ends.push_back(axis.at(*last));
      labelled.push_back(&line);
    }
    const std::vector<double> at = spread(ends, 13.0, frame.top + 2, frame.bottom);
    for (std::size_t i = 0; i < at.size(); ++i)
      draw_text(page, frame.right + 8, at[i] + 4, "label " + labelled[i]->style, labelled[i]->label);
  });
}

}  // namespace llama::page
