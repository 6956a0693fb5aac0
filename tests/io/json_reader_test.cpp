#include <bit>
#include <clocale>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/io/json_reader.hpp>
#include <planish/io/json_text.hpp>

using namespace planish::io;

namespace {

bool is_json(std::string_view text) {
  JsonReader json(text);
  json.skip();
  return json.finish();
}

std::string reason(std::string_view text) {
  JsonReader json(text);
  json.skip();
  CHECK_FALSE(json.finish());
  return std::string(json.status("f").message());
}

std::string decoded(std::string_view text) {
  JsonReader json(text);
  std::string out;
  json.string(out);
  CHECK(json.finish());
  return out;
}

}  // namespace

TEST_CASE("JsonReader: reads what a header holds") {
  JsonReader json(R"( { "a" : [1, -2,3] ,"b":{"c":"text","d":null}, "e":true,"f":-1.5e2,"g":[] , "h":{} } )");
  std::vector<std::int64_t> numbers;
  std::string text;
  bool flag = false;
  double real = 0;
  std::vector<std::string> keys;
  json.object([&](const std::string& key) {
    keys.push_back(key);
    if (key == "a") {
      json.array([&] { json.integer(numbers.emplace_back()); });
    } else if (key == "b") {
      json.object([&](const std::string& inner) { inner == "c" ? json.string(text) : json.null(); });
    } else if (key == "e") {
      json.boolean(flag);
    } else if (key == "f") {
      json.number(real);
    } else {
      json.skip();
    }
  });
  CHECK(json.finish());
  CHECK(numbers == std::vector<std::int64_t>{1, -2, 3});
  CHECK(text == "text");
  CHECK(flag);
  CHECK(real == -150.0);
  CHECK(keys.size() == 6);
}

TEST_CASE("JsonReader: escapes, surrogate pairs, UTF-8") {
  CHECK(decoded(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
  CHECK(decoded(R"("\u0041\u00e9\u20AC\ud83d\ude00")") == "A\u00e9\u20ac\U0001f600");
  CHECK(decoded(R"("\u0000")") == std::string(1, '\0'));
  CHECK(decoded("\"\u00e9\u20ac\U0001f600\"") == "\u00e9\u20ac\U0001f600");
  for (const char* bad : {R"("\ud83d")", R"("\ud83dx")", R"("\ud83d\u0041")", R"("\ude00")", R"("\u12")", R"("\u12g4")",
                          R"("\x")", R"("\)", R"("abc)", "\"\n\"", "\"\x80\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"",
                          "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\"", "\"\xff\""}) {
    CAPTURE(bad);
    CHECK_FALSE(is_json(bad));
  }
}

TEST_CASE("JsonReader: written strings come back") {
  planish::Random random(7);
  INFO("seed 7");
  for (int round = 0; round < 200; ++round) {
    std::string text;
    for (int i = 0; i < 20; ++i) {
      const auto point = static_cast<std::uint32_t>(random.below(round % 2 == 0 ? 0x80 : 0x110000));
      if (point < 0xd800 || point > 0xdfff) append_utf8(text, point);
    }
    std::string json;
    append_json_string(json, text);
    CHECK(decoded(json) == text);
    CHECK(is_utf8(text));
  }
}

TEST_CASE("JsonReader: whole numbers are checked for overflow") {
  const auto signed_number = [](std::string_view text, std::int64_t& out) {
    JsonReader json(text);
    return json.integer(out) && json.finish();
  };
  const auto unsigned_number = [](std::string_view text, std::uint64_t& out) {
    JsonReader json(text);
    return json.integer(out) && json.finish();
  };
  std::int64_t i = 0;
  std::uint64_t u = 0;
  CHECK((signed_number("9223372036854775807", i) && i == INT64_MAX));
  CHECK((signed_number("-9223372036854775808", i) && i == INT64_MIN));
  CHECK_FALSE(signed_number("9223372036854775808", i));
  CHECK((unsigned_number("18446744073709551615", u) && u == UINT64_MAX));
  CHECK_FALSE(unsigned_number("18446744073709551616", u));
  for (const char* bad :
       {"-1", "1.0", "1e3", "01", "+1", "", "-", "0x10", "\"1\"", "null", "99999999999999999999999"}) {
    CAPTURE(bad);
    CHECK_FALSE(unsigned_number(bad, u));
  }
}

TEST_CASE("JsonReader: refuses what is no JSON") {
  for (const char* good : {"{}", "[]", " [ ] ", "0", "-0.5E+3", "\"\"", "true", "false", "null", "[[[[]]]]"}) {
    CAPTURE(good);
    CHECK(is_json(good));
  }
  for (const char* bad :
       {"",         "{",          "}",     "[",         "[1",    "[1,", "[1,]",  "[,1]",     "{,}", "{\"a\"}",
        "{\"a\":}", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "[1 2]", "tru", "truex", "nul",      "1.",  ".5",
        "1e",       "1e+",        "--1",   "{} {}",     "[]]",   "'a'", "NaN",   "Infinity", "//"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_json(bad));
  }
  CHECK(reason("[1 2]") == "f: JSON at byte 3: expected ',' or ']'");
  JsonReader json("[1e308, 1e999]");
  double value = 0.0;
  json.array([&] { json.number(value); });
  CHECK(value == 1e308);
  CHECK(json.position() == 8);
  CHECK(std::string(json.status("f").message()) == "f: JSON at byte 8: number does not fit a double");
}

TEST_CASE("JsonReader: real numbers are the nearest doubles, whatever the locale") {
  const auto read = [](std::string_view text, double& out) {
    JsonReader json(text);
    return json.number(out) && json.finish();
  };
  const std::string locale = std::setlocale(LC_ALL, nullptr);
  for (const char* name : {"C", "de_DE.UTF-8", "fr_FR.UTF-8"}) {  // a decimal comma, where the system has it
    std::setlocale(LC_ALL, name);
    const auto check = [&](std::string_view text, double expected) {
      CAPTURE(name);
      CAPTURE(text);
      double value = 42;
      REQUIRE(read(text, value));
      CHECK(std::bit_cast<std::uint64_t>(value) == std::bit_cast<std::uint64_t>(expected));
    };
    check("0.1", 0.1);
    check("-0.0", -0.0);
    check("0e-999", 0.0);
    check("5e-324", 5e-324);
    check("1.7976931348623157e308", 1.7976931348623157e308);
    check("9007199254740993", 9007199254740992.0);
    check("1234.5678E-2", 12.345678);
    double value = 0;
    CHECK_FALSE(read("1e309", value));
    CHECK_FALSE(read("-1e309", value));
    CHECK_FALSE(read("1e-400", value));
  }
  std::setlocale(LC_ALL, locale.c_str());
}

TEST_CASE("JsonReader: depth is bounded") {
  CHECK(is_json("{\"a\":{\"b\":{\"c\":[1]}}}"));
  CHECK(reason("{\"a\":{\"b\":{\"c\":[[1]]}}}") == "f: JSON at byte 17: nested too deeply");
  CHECK(reason(std::string(1'000'000, '[')).find("nested too deeply") != std::string::npos);
  JsonReader deeper("[[[[[[1]]]]]]", 6);
  deeper.skip();
  CHECK(deeper.finish());
}

TEST_CASE("JsonReader: a key may not come twice, however it is spelled") {
  CHECK(reason(R"({"a":1,"b":2,"\u0061":3})") == "f: JSON at byte 24: key comes twice: 'a'");
  CHECK(is_json(R"([{"a":1},{"a":1}])"));
}

TEST_CASE("JsonReader: a callback that reads nothing or too much is an error, not a loop") {
  JsonReader nothing("[1,2]");
  nothing.array([] {});
  CHECK_FALSE(nothing.finish());
  JsonReader wrong_kind("[1,2]");
  std::string text;
  wrong_kind.array([&] { wrong_kind.string(text); });
  CHECK_FALSE(wrong_kind.finish());
}
