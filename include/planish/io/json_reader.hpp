#pragma once
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/io/json_text.hpp>
#include <planish/io/message.hpp>
#include <planish/io/parse_double.hpp>
#include <planish/io/utf8.hpp>

namespace planish::inline PLANISH_ABI::io {

enum class JsonKind : std::uint8_t { none, object, array, string, number, boolean, null };

/// Reads JSON (RFC 8259) front to back without building a tree: the caller says what it expects next. For headers, so
/// nesting is bounded; a key may not come twice in one object; strings must be well-formed UTF-8. Every function
/// returns false from the first error on, and `status` tells what it was.
/// \code
///   JsonReader json(text);
///   json.object([&](const std::string& key) { key == "size" ? json.integer(size) : json.skip(); });
///   if (!json.finish()) return json.status(path);
/// \endcode
class JsonReader {
 public:
  static constexpr int default_depth = 4;  // nested objects and arrays

  explicit JsonReader(std::string_view text, int most_depth = default_depth) noexcept
      : text_(text), most_depth_(most_depth) {}

  /// Kind of the value that comes next; none at the end or before something that is no value.
  [[nodiscard]] JsonKind next() noexcept {
    skip_space();
    if (failed() || position_ >= text_.size()) return JsonKind::none;
    switch (text_[position_]) {
      case '{':
        return JsonKind::object;
      case '[':
        return JsonKind::array;
      case '"':
        return JsonKind::string;
      case 't':
      case 'f':
        return JsonKind::boolean;
      case 'n':
        return JsonKind::null;
      case '-':
        return JsonKind::number;
      default:
        return is_digit(text_[position_]) ? JsonKind::number : JsonKind::none;
    }
  }

  /// Reads an object; `member(key)` is called after each key and must read exactly one value.
  template <class Member>
  bool object(Member&& member) {
    if (!open('{', "expected an object")) return false;
    std::vector<std::string> keys;
    if (!take('}')) {
      do {
        std::string& key = keys.emplace_back();
        if (!string(key) || !expect(':', "expected ':' after a key")) return false;
        if (!one_value([&] { member(static_cast<const std::string&>(key)); })) return false;
      } while (take(','));
      if (!expect('}', "expected ',' or '}'")) return false;
    }
    --depth_;
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice == keys.end()) return true;
    fail("key comes twice");
    detail_ = detail::shown(*twice, 80);
    return false;
  }

  /// Reads an array; `item()` is called before each item and must read exactly one value.
  template <class Item>
  bool array(Item&& item) {
    if (!open('[', "expected an array")) return false;
    if (!take(']')) {
      do {
        if (!one_value(item)) return false;
      } while (take(','));
      if (!expect(']', "expected ',' or ']'")) return false;
    }
    --depth_;
    return true;
  }

  /// Reads a string; escapes are decoded, surrogate pairs joined.
  bool string(std::string& out) {
    out.clear();
    if (!expect('"', "expected a string")) return false;
    const std::size_t quote = text_.find('"', position_);  // the end, unless it is escaped
    if (quote != text_.npos) out.reserve(quote - position_);
    while (position_ < text_.size()) {
      const char c = text_[position_];
      if (c == '"') return ++position_, true;
      if (c == '\\') {
        std::string_view rest = text_.substr(position_);
        const char* reason = take_json_escape(rest, out);
        position_ = text_.size() - rest.size();
        if (reason != nullptr) return fail(reason);
        continue;
      }
      if (static_cast<unsigned char>(c) < 0x20) return fail("control character in a string");
      const std::size_t length = utf8_sequence_length(text_.substr(position_));
      if (length == 0) return fail("string is not UTF-8");
      out.append(text_.substr(position_, length));
      position_ += length;
    }
    return fail("string without an end");
  }

  /// Reads a whole number without fraction or exponent that fits the type.
  bool integer(std::int64_t& out) noexcept { return whole(out, "expected a whole number of at most 63 bits"); }
  bool integer(std::uint64_t& out) noexcept { return whole(out, "expected a whole number from 0 that fits 64 bits"); }

  /// Reads any number.
  bool number(double& out) noexcept {
    const std::string_view token = number_token();
    if (token.empty()) return fail("expected a number");
    if (!detail::parse_double(token, out)) return fail("number does not fit a double");
    position_ += token.size();
    return true;
  }

  bool boolean(bool& out) noexcept {
    skip_space();
    if (word("true")) return out = true, true;
    if (word("false")) return out = false, true;
    return fail("expected true or false");
  }

  bool null() noexcept {
    skip_space();
    return word("null") || fail("expected null");
  }

  /// Reads one value of any kind and forgets it.
  bool skip() {
    std::string text;
    bool flag = false;
    switch (next()) {
      case JsonKind::object:
        return object([this](const std::string&) { skip(); });
      case JsonKind::array:
        return array([this] { skip(); });
      case JsonKind::string:
        return string(text);
      case JsonKind::number: {
        const std::string_view token = number_token();
        if (token.empty()) return fail("expected a number");
        position_ += token.size();
        return true;
      }
      case JsonKind::boolean:
        return boolean(flag);
      case JsonKind::null:
        return null();
      case JsonKind::none:
        break;
    }
    return fail("expected a value");
  }

  /// True if everything was read without an error and only white space is left.
  bool finish() noexcept {
    skip_space();
    if (failed()) return false;
    return position_ == text_.size() || fail("text after the end of the JSON");
  }

  /// Marks the text as wrong; the first reason is kept. Returns false.
  bool fail(const char* reason) noexcept {
    if (reason_ == nullptr) reason_ = reason;
    return false;
  }

  [[nodiscard]] bool failed() const noexcept { return reason_ != nullptr; }
  [[nodiscard]] std::size_t position() const noexcept { return position_; }

  /// Ok, or "FILE: JSON at byte N: reason".
  [[nodiscard]] Status status(std::string_view path) const {
    if (!failed()) return {};
    if (detail_.empty())
      return detail::file_error(ErrorCode::malformed, path, "JSON at byte ", position_, ": ", reason_);
    return detail::file_error(ErrorCode::malformed, path, "JSON at byte ", position_, ": ", reason_, ": '",
                              std::string_view(detail_), "'");
  }

 private:
  static constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
  [[nodiscard]] char at(std::size_t i) const noexcept { return i < text_.size() ? text_[i] : '\0'; }

  void skip_space() noexcept {
    while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\n' ||
                                        text_[position_] == '\r' || text_[position_] == '\t'))
      ++position_;
  }

  bool take(char c) noexcept {
    skip_space();
    if (failed() || at(position_) != c || position_ >= text_.size()) return false;
    ++position_;
    return true;
  }

  bool expect(char c, const char* reason) noexcept { return take(c) || fail(reason); }

  bool open(char bracket, const char* reason) noexcept {
    if (!expect(bracket, reason)) return false;
    return ++depth_ <= most_depth_ || fail("nested too deeply");
  }

  template <class Read>
  bool one_value(Read&& read) {
    skip_space();
    const std::size_t before = position_;
    read();
    return !failed() && (position_ > before || fail("value of an unexpected kind"));
  }

  bool word(std::string_view expected) noexcept {
    if (failed() || text_.substr(position_, expected.size()) != expected) return false;
    position_ += expected.size();
    return true;
  }

  /// The number at the position; empty if there is none.
  [[nodiscard]] std::string_view number_token() noexcept {
    skip_space();
    return failed() ? std::string_view{} : text_.substr(position_, json_number_length(text_.substr(position_)));
  }

  template <class Integer>
  bool whole(Integer& out, const char* reason) noexcept {
    const std::string_view token = number_token();
    if (token.empty()) return fail(reason);
    const auto parsed = std::from_chars(token.data(), token.data() + token.size(), out);
    if (parsed.ec != std::errc() || parsed.ptr != token.data() + token.size()) return fail(reason);
    position_ += token.size();
    return true;
  }

  std::string_view text_;
  std::size_t position_ = 0;
  int depth_ = 0;
  int most_depth_;
  const char* reason_ = nullptr;
  std::string detail_;  // what the reason is about, fit for a message
};

}  // namespace planish::inline PLANISH_ABI::io
