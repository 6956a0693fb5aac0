#include "chart_frame.hpp"

namespace llama::page {

void draw_picture(Markup& page, double width, double height, const std::string& description,
                  const std::function<void()>& inside) {
  const std::string box = "0 0 " + coordinate(width) + ' ' + coordinate(height);
  page.element("svg", {{"viewBox", box}, {"role", "img"}, {"aria-label", description}}, [&] {
    page.element("title", {}, description);
    inside();
  });
}

void draw_text(Markup& page, double x, double y, std::string_view style, std::string_view text) {
  page.element("text", {{"x", coordinate(x)}, {"y", coordinate(y)}, {"class", style}}, text);
}

void draw_line(Markup& page, double x1, double y1, double x2, double y2, std::string_view style) {
  const std::string path = 'M' + coordinate(x1) + ' ' + coordinate(y1) + 'L' + coordinate(x2) + ' ' + coordinate(y2);
  page.leaf("path", {{"class", style}, {"d", path}});
}

void ChartFrame::draw(Markup& page, const std::string& description, const std::string& x_title, const LogAxis& axis,
                      const std::function<std::string(double)>& tick, const std::function<void()>& inside) const {
  draw_picture(page, width, height, description, [&] {
    for (const double value : axis.ticks()) {
      const double y = axis.at(value);
      draw_line(page, left, y, right, y, "grid");
      draw_text(page, left - 6, y + 3.5, "tick end", tick(value));
    }
    for (const long long value : whole_ticks(last_x, static_cast<int>((right - left) / 40.0))) {
      draw_line(page, x(static_cast<double>(value)), bottom, x(static_cast<double>(value)), bottom + 4, "grid");
      draw_text(page, x(static_cast<double>(value)), bottom + 15, "tick middle", std::to_string(value + first_x));
    }
    draw_text(page, (left + right) / 2, bottom + 30, "tick middle", x_title);
    inside();
  });
}

}  // namespace llama::page
