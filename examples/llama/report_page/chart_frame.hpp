#pragma once
#include <functional>
#include <string>

#include "log_axis.hpp"
#include "markup.hpp"

namespace llama::page {

/// The room of a chart with whole numbers across and a logarithmic axis up: grid, ticks, titles.
struct ChartFrame {
  double width, height, left, right, top, bottom;  ///< of the picture, and where the plot lies in it
  long long last_x;                                ///< x runs from 0 to here
  long long first_x = 0;                           ///< what x = 0 is called

  [[nodiscard]] double x(double value) const {
    return last_x == 0 ? (left + right) / 2.0 : left + (right - left) * value / static_cast<double>(last_x);
  }

  /// <svg> with grid and ticks, then what `inside()` draws. `tick` writes the values of the axis.
  void draw(Markup& page, const std::string& description, const std::string& x_title, const LogAxis& axis,
            const std::function<std::string(double)>& tick, const std::function<void()>& inside) const;
};

/// Begins an <svg> of this size whose title is `description`.
void draw_picture(Markup& page, double width, double height, const std::string& description,
                  const std::function<void()>& inside);

void draw_text(Markup& page, double x, double y, std::string_view style, std::string_view text);
void draw_line(Markup& page, double x1, double y1, double x2, double y2, std::string_view style);

}  // namespace llama::page
