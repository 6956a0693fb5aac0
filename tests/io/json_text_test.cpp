// The edges of JSON and UTF-8: the last byte of a text, the first and last of every range.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <planish/io/json_reader.hpp>
#include <planish/io/json_text.hpp>
#include <planish/io/message.hpp>
#include <planish/io/utf8.hpp>

namespace pl = planish;

namespace {

using pl::io::JsonKind;
using pl::io::JsonReader;

std::string fault(std::string_view text) {
  JsonReader json(text);
  json.skip();
  CHECK_FALSE(json.finish());
  return std::string(json.status("f").message());
}

bool is_string(std::string_view text, std::string& out) {
  JsonReader json(text);
  return json.string(out) && json.finish();
}

std::string utf8(std::uint32_t point) {
  std::string text;
  pl::io::append_utf8(text, point);
  return text;
}

TEST_CASE("a reader of JSON sees the text that it was given and no byte behind it") {
  double number = 0;
  JsonReader cut(std::string_view("12").substr(0, 1));
  CHECK(cut.next() == JsonKind::number);
  CHECK(cut.number(number));
  CHECK(number == 1);
  CHECK(cut.next() == JsonKind::none);
  CHECK(cut.finish());
  CHECK(pl::io::json_number_length(std::string_view("12").substr(0, 1)) == 1);
  CHECK(pl::io::json_number_length(std::string_view("1.5").substr(0, 1)) == 1);

  JsonReader before_space(std::string_view("1 ").substr(0, 1));
  CHECK(before_space.skip());
  CHECK(before_space.finish());
  JsonReader before_bracket(std::string_view("[1]").substr(0, 2));
  before_bracket.skip();
  CHECK_FALSE(before_bracket.finish());
  JsonReader before_quote(std::string_view("\"a\"").substr(0, 2));
  before_quote.skip();
  CHECK_FALSE(before_quote.finish());
  CHECK(fault("\"abc") == "f: JSON at byte 4: string without an end");
}

TEST_CASE("every kind of value is known by its first byte, nothing after an error") {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text(1, static_cast<char>(byte));
    JsonKind expected = JsonKind::none;
    if (byte == '{') expected = JsonKind::object;
    if (byte == '[') expected = JsonKind::array;
    if (byte == '"') expected = JsonKind::string;
    if (byte == 't' || byte == 'f') expected = JsonKind::boolean;
    if (byte == 'n') expected = JsonKind::null;
    if (byte == '-' || (byte >= '0' && byte <= '9')) expected = JsonKind::number;
    CAPTURE(byte);
    CHECK(JsonReader(text).next() == expected);
  }
  JsonReader failed("1");
  failed.fail("reason");
  CHECK(failed.next() == JsonKind::none);
}

TEST_CASE("each of the four spaces may stand wherever one may") {
  for (const char* space : {" ", "\n", "\r", "\t", " \n\r\t"}) {
    std::string text = "@[@1@,@{@\"a\"@:@true@}@]@";
    for (std::size_t at = text.find('@'); at != text.npos; at = text.find('@')) text.replace(at, 1, space);
    JsonReader json(text);
    json.skip();
    CHECK(json.finish());
  }
}

TEST_CASE("a callback that reads nothing is told so, where it should have read") {
  JsonReader json("[1,2]");
  json.array([] {});
  CHECK(json.status("f").message() == "f: JSON at byte 1: value of an unexpected kind");
}

TEST_CASE("a string is written with no escape that it does not need") {
  for (int byte = 0; byte < 128; ++byte) {
    std::string expected(1, static_cast<char>(byte)), written;
    if (byte == '"' || byte == '\\') expected = std::string("\\") + static_cast<char>(byte);
    if (byte < 32) expected = std::string("\\u00") + (byte < 16 ? '0' : '1') + "0123456789abcdef"[byte % 16];
    pl::io::append_json_string(written, std::string_view(std::string(1, static_cast<char>(byte))));
    CHECK(written == '"' + expected + '"');
  }
}

TEST_CASE("an escape may be the last of a text") {
  std::string out;
  std::string_view text = "\\n";
  CHECK(pl::io::take_json_escape(text, out) == nullptr);
  CHECK((out == "\n" && text.empty()));
  text = "\\";
  CHECK(pl::io::take_json_escape(text, out) != nullptr);
  std::uint32_t value = 0;
  text = "00e9";
  CHECK(pl::io::take_hexadecimal(text, value));
  CHECK((value == 0xe9 && text.empty()));
  text = "00e";
  CHECK_FALSE(pl::io::take_hexadecimal(text, value));
}

TEST_CASE("surrogates stand for themselves at no end of their range, and pairs reach from U+10000 to U+10FFFF") {
  std::string out;
  CHECK((is_string(R"("\ud7ff\ue000")", out) && out == utf8(0xd7ff) + utf8(0xe000)));
  CHECK((is_string(R"("\ud800\udc00")", out) && out == utf8(0x10000)));
  CHECK((is_string(R"("\udbff\udfff")", out) && out == utf8(0x10ffff)));
  for (const char* bad : {R"("\udc00")", R"("\udfff")", R"("\ud800")", R"("\udbff")", R"("\ud800\ue000")",
                          R"("\ud800\udbff")", R"("\ud800\ud800")", R"("\ud800\u12")", R"("\ud800\n")"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_string(bad, out));
  }
}

TEST_CASE("code points take one byte below U+80, two below U+800, three below U+10000, and four") {
  CHECK(utf8(0x7f) == "\x7f");
  CHECK(utf8(0x80) == "\xc2\x80");
  CHECK(utf8(0x7ff) == "\xdf\xbf");
  CHECK(utf8(0x800) == "\xe0\xa0\x80");
  CHECK(utf8(0xffff) == "\xef\xbf\xbf");
  CHECK(utf8(0x10000) == "\xf0\x90\x80\x80");
  CHECK(utf8(0x10ffff) == "\xf4\x8f\xbf\xbf");
}

TEST_CASE("well-formed UTF-8 is what Unicode's table 3-7 lists") {
  const auto expected = [](unsigned first, unsigned second, std::size_t size) -> std::size_t {
    if (first < 0x80) return 1;
    unsigned least = 0x80, most = 0xbf;
    std::size_t length = 0;
    if (first >= 0xc2 && first <= 0xdf) length = 2;
    if (first >= 0xe0 && first <= 0xef) length = 3;
    if (first >= 0xf0 && first <= 0xf4) length = 4;
    if (first == 0xe0) least = 0xa0;
    if (first == 0xed) most = 0x9f;
    if (first == 0xf0) least = 0x90;
    if (first == 0xf4) most = 0x8f;
    return size >= length && second >= least && second <= most ? length : 0;
  };
  int wrong = 0;
  for (unsigned first = 0; first < 256; ++first)
    for (unsigned second = 0; second < 256; ++second) {
      const char bytes[] = {static_cast<char>(first), static_cast<char>(second), '\x80', '\xbf'};
      for (std::size_t size = 2; size <= 4; ++size)
        wrong += pl::io::utf8_sequence_length({bytes, size}) != expected(first, second, size);
    }
  for (const char* bad : {"\xe1\x80\x7f", "\xe1\x80\xc0", "\xf1\x80\x80\x7f", "\xf1\x80\xc0\x80"})
    wrong += pl::io::utf8_sequence_length(bad) != 0;
  CHECK(wrong == 0);
  CHECK(pl::io::utf8_sequence_length("") == 0);
}

TEST_CASE("a text in a message is cut only where it is too long, a third before the dots, and stays on its line") {
  using pl::io::detail::shown;
  const std::string nine = "abcdefghi";
  CHECK(shown(nine, 9) == nine);
  CHECK(shown(nine, 10) == nine);
  CHECK(shown(nine + "j", 9) == "abc...efghij");
  CHECK(shown(std::string(200, 'x')).size() == 113);
  CHECK(shown("a b\x1f\x20~\x7f\n\xc3") == "a b? ~??\xc3");
}

}  // namespace
