#pragma once
// A picture of 360 units across, shown at 540 pixels where there is room. Shapes take the classes of style.css, which
// draw.sh puts between the <style> tags.
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

namespace pictures {

/// One decimal: enough for coordinates, and the same text from every compiler.
inline std::string number(double value, int decimals = 1) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", decimals, value == 0.0 ? 0.0 : value);
  return text;
}

/// name="value" with a space in front.
inline std::string attribute(const char* name, const std::string& value) {
  return std::string(" ") + name + "=\"" + value + "\"";
}
inline std::string attribute(const char* name, double value) { return attribute(name, number(value)); }

class Svg {
 public:
  /// `title` is read out where the picture cannot be seen.
  Svg(double height, std::string title) : height_(height), title_(std::move(title)) {}

  void text(double x, double y, const std::string& classes, const std::string& words) {
    body_ += "<text" + attribute("class", classes) + attribute("x", x) + attribute("y", y) + ">" + words + "</text>\n";
  }
  void rectangle(double x, double y, double width, double height, const std::string& classes, double opacity = 1.0) {
    body_ += "<rect" + attribute("class", classes) + attribute("x", x) + attribute("y", y) + attribute("width", width) +
             attribute("height", height) +
             (opacity < 1.0 ? attribute("fill-opacity", number(opacity, 2)) : std::string()) + "/>\n";
  }
  void line(double x1, double y1, double x2, double y2, const std::string& classes) {
    body_ += "<line" + attribute("class", classes) + attribute("x1", x1) + attribute("y1", y1) + attribute("x2", x2) +
             attribute("y2", y2) + "/>\n";
  }
  void dot(double x, double y, double radius, const std::string& classes) {
    body_ += "<circle" + attribute("class", classes) + attribute("cx", x) + attribute("cy", y) +
             attribute("r", radius) + "/>\n";
  }

  /// Whether the file was written.
  [[nodiscard]] bool write(const std::string& path) const {
    const std::string size = number(height_, 0), shown = number(height_ * 1.5, 0);
    std::ofstream file(path);
    file << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 360 " << size << "\" width=\"540\" height=\""
         << shown << "\" role=\"img\">\n<title>" << title_
         << "</title>\n<style>\n</style>\n<rect class=\"paper\" x=\"0.5\" "
         << "y=\"0.5\" width=\"359\" height=\"" << number(height_ - 1, 0) << "\" rx=\"8\"/>\n"
         << body_ << "</svg>\n";
    return file.good();
  }

 private:
  double height_;
  std::string title_, body_;
};

}  // namespace pictures
