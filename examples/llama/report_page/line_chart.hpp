#pragma once
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "log_axis.hpp"
#include "markup.hpp"

namespace llama::page {

/// Stands for a value that was not measured: lines have a gap there.
inline constexpr double gap = std::numeric_limits<double>::quiet_NaN();

/// One line; x is 0, 1, 2, ... A label is written at the line's end in its own colour.
struct Line {
  std::string label = {}, style = {};  ///< of the style sheet: before, middle, after, faint
  std::vector<double> values = {};
  bool has_points = false;
};

/// Lines over whole numbers on a logarithmic axis.
struct LineChart {
  std::string description = {};  ///< for those who cannot see it
  std::string x_title = {};
  std::vector<Line> lines = {};
  double least = 0.0, greatest = 0.0;  ///< of the axis; both 0: what the lines need
  std::function<std::string(double)> tick = plain_tick;
  double width = 360.0, height = 220.0;
  double label_room = 74.0;  ///< right of the plot
  long long first_x = 0;     ///< what x = 0 is called

  void draw(Markup& page) const;
};

/// Least and greatest of the values that are there; what they were before if there are none.
void widen(double& least, double& greatest, const std::vector<double>& values);

}  // namespace llama::page
