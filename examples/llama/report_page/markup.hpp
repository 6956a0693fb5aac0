#pragma once
#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace llama::page {

/// Text as it may stand between tags and in attributes.
[[nodiscard]] std::string escaped(std::string_view text);

/// A coordinate with one decimal at most: "12", "3.5", "-.5".
[[nodiscard]] std::string coordinate(double value);

/// Writes HTML with inline SVG whose tags always balance and whose text is always escaped.
class Markup {
 public:
  using Attributes = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  /// <name attributes>, what `inside()` writes, </name>.
  template <class Inside>
  requires std::invocable<Inside>
  void element(std::string_view name, Attributes attributes, Inside&& inside) {
    open(name, attributes, ">");
    inside();
    close(name);
  }
  void element(std::string_view name, Attributes attributes, std::string_view text) {
    open(name, attributes, ">");
    text_ += escaped(text);
    close(name);
  }
  /// <name attributes/>
  void leaf(std::string_view name, Attributes attributes) { open(name, attributes, "/>"); }

  void text(std::string_view text) { text_ += escaped(text); }
  /// As it is: style sheets, whole documents' first line.
  void raw(std::string_view text) { text_ += text; }

  [[nodiscard]] const std::string& str() const noexcept { return text_; }

 private:
  void open(std::string_view name, Attributes attributes, std::string_view end);
  void close(std::string_view name);

  std::string text_;
};

}  // namespace llama::page
