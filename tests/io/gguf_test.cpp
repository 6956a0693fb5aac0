#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/half.hpp>
#include <planish/core/random.hpp>

#include "files.hpp"

using namespace planish;
using namespace planish::io;
using namespace io_test;

TEST_CASE("GGUF: metadata of all types") {
  GgufBuilder file;
  file.metadata<std::uint8_t>("a.u8", 0, 200)
      .metadata<std::int8_t>("a.i8", 1, -3)
      .metadata<std::uint16_t>("a.u16", 2, 65535);
  file.metadata<std::int16_t>("a.i16", 3, -300).metadata<std::uint32_t>("a.u32", 4, 4'000'000'000u);
  file.metadata<std::int32_t>("a.i32", 5, -70000).metadata("a.f32", 6, 1.5f).metadata<std::uint8_t>("a.bool", 7, 1);
  file.string("a.string", "text").metadata<std::uint64_t>("a.u64", 10, 1ull << 40);
  file.metadata<std::uint64_t>("a.huge", 10, 1ull << 63)
      .metadata<std::int64_t>("a.i64", 11, -5)
      .metadata("a.f64", 12, 2.25);
  file.array<std::string>("b.strings", 8, {"one", "", "\xff\n"}).array<float>("b.floats", 6, {1.0f, 2.0f});
  file.array<std::int32_t>("b.i32", 5, {1, -2}).array<std::uint16_t>("b.u16", 2, {9}).array<float>("b.none", 6, {});
  file.array<std::uint64_t>("b.huge", 10, {1, ~0ull}).array<double>("b.doubles", 12, {0.5});
  const auto gguf = open_gguf(file.build());
  REQUIRE_MESSAGE(gguf.has_value(), message_of(gguf.status()));

  CHECK(*gguf->get_integer("a.u8") == 200);
  CHECK(*gguf->get_integer("a.i8") == -3);
  CHECK(*gguf->get_integer("a.u16") == 65535);
  CHECK(*gguf->get_integer("a.i16") == -300);
  CHECK(*gguf->get_integer("a.u32") == 4'000'000'000);
  CHECK(*gguf->get_integer("a.i32") == -70000);
  CHECK(*gguf->get_integer("a.u64") == std::int64_t{1} << 40);
  CHECK(*gguf->get_integer("a.i64") == -5);
  CHECK(*gguf->get_float("a.f32") == 1.5);
  CHECK(*gguf->get_float("a.f64") == 2.25);
  CHECK(*gguf->get_bool("a.bool"));
  CHECK(*gguf->get_string("a.string") == "text");
  CHECK(*gguf->string_array("b.strings") == std::vector<std::string>{"one", "", "\xff\n"});
  CHECK(*gguf->float_array("b.floats") == std::vector<float>{1.0f, 2.0f});
  CHECK(*gguf->float_array("b.doubles") == std::vector<float>{0.5f});
  CHECK(gguf->float_array("b.none")->empty());
  CHECK(*gguf->int_array("b.i32") == std::vector<std::int64_t>{1, -2});
  CHECK(*gguf->int_array("b.u16") == std::vector<std::int64_t>{9});
  CHECK(gguf->has("a.u8"));
  CHECK_FALSE(gguf->has("a.u"));

  CHECK(message_of(gguf->get_integer("none").status()) == "memory: no metadata 'none'");
  CHECK(message_of(gguf->get_integer("a.f32").status()) ==
        "memory: metadata 'a.f32' is of type f32, not a whole number of at most 63 bits");
  CHECK(message_of(gguf->get_string("b.strings").status()) ==
        "memory: metadata 'b.strings' is an array of string, not a string");
  for (const char* key : {"a.huge", "a.string", "a.bool", "b.i32", "a.f64"})
    CHECK_FALSE(gguf->get_integer(key).has_value());
  for (const char* key : {"a.u8", "a.string", "b.floats"}) CHECK_FALSE(gguf->get_float(key).has_value());
  for (const char* key : {"a.u8", "a.string", "b.u16"}) CHECK_FALSE(gguf->get_bool(key).has_value());
  for (const char* key : {"b.strings", "b.floats", "a.i32", "b.huge"}) CHECK_FALSE(gguf->int_array(key).has_value());
  for (const char* key : {"b.strings", "b.i32", "a.f32"}) CHECK_FALSE(gguf->float_array(key).has_value());
  for (const char* key : {"b.i32", "a.string"}) CHECK_FALSE(gguf->string_array(key).has_value());
}

TEST_CASE("GGUF: tensors, shapes slow to fast, alignment from the file") {
  for (std::uint32_t alignment : {32u, 8u, 256u}) {
    ByteBuilder data;
    for (int i = 0; i < 6; ++i) data.value(static_cast<float>(i));
    data.pad_to(alignment);
    const std::size_t second = data.bytes.size();
    for (int i = 0; i < 24; ++i) data.value(Half::from_float(static_cast<float>(i)));
    GgufBuilder file;
    file.alignment = alignment;
    file.metadata<std::uint32_t>("general.alignment", 4, alignment);
    file.tensor("later", {2, 3, 4}, 1, second).tensor("matrix", {3, 2}, 0, 0).tensor("empty", {0, 5}, 0, 0);
    const auto gguf = open_gguf(file.build(data.bytes));
    REQUIRE_MESSAGE(gguf.has_value(), message_of(gguf.status()));
    const GgufTensor& matrix = *gguf->find("matrix");
    CHECK(matrix.shape == std::vector<planish::index>{2, 3});
    CHECK((matrix.rows() == 2 && matrix.columns() == 3));
    float row[3];
    CHECK(gguf->dequantize_rows(matrix, 1, 1, row).ok());
    CHECK((row[0] == 3.0f && row[2] == 5.0f));
    const GgufTensor& later = *gguf->find("later");
    CHECK(later.shape == std::vector<planish::index>{4, 3, 2});
    CHECK(later.rows() == 12);
    CHECK((*gguf->read_floats(later))[23] == 23.0f);
    CHECK(gguf->read_floats(*gguf->find("empty"))->empty());
    CHECK(gguf->find("none") == nullptr);
    CHECK(message_of(gguf->get("none").status()) == "memory: tensor 'none': is not in this file");
    CHECK(gguf->dequantize_rows(matrix, 1, 2, row).code() == ErrorCode::shape_mismatch);
    CHECK(gguf->dequantize_rows(matrix, -1, 1, row).code() == ErrorCode::shape_mismatch);
    CHECK(gguf->dequantize_rows(matrix, 2, 0, row).ok());
  }
}

TEST_CASE("GGUF: Q8_0 codes have the values of the dequantized tensor to the bit") {
  Random random(23);
  INFO("seed 23");
  ByteBuilder data;
  for (int block = 0; block < 3 * 5; ++block) {
    data.value(Half::from_float(static_cast<float>(random.uniform())));
    for (int i = 0; i < 32; ++i) data.value(static_cast<std::int8_t>(random.below(256)));
  }
  GgufBuilder file;
  file.tensor("head", {96, 5}, 8, 0).tensor("norm", {4}, 0, 512);
  data.pad_to(512).value(1.0f).value(1.0f).value(1.0f).value(1.0f);
  const auto gguf = open_gguf(file.build(data.bytes));
  REQUIRE_MESSAGE(gguf.has_value(), message_of(gguf.status()));
  const auto codes = gguf->read_q8_0_codes(*gguf->find("head"));
  const auto floats = gguf->read_floats(*gguf->find("head"));
  REQUIRE(codes);
  REQUIRE(floats);
  CHECK((codes->rows() == 5 && codes->columns() == 96 && codes->group_size() == 32 && codes->bits() == 8));
  const CodesView view = codes->view();
  for (planish::index r = 0; r < 5; ++r)
    for (planish::index c = 0; c < 96; ++c)
      REQUIRE(view.value(r, c) == (*floats)[static_cast<std::size_t>(r * 96 + c)]);
  CHECK(message_of(gguf->read_q8_0_codes(*gguf->find("norm")).status()) == "memory: tensor 'norm': is F32, not Q8_0");
}

TEST_CASE("GGUF: NaN and infinity are refused by the tensor's name unless asked for") {
  ByteBuilder data;
  data.value(std::uint16_t{0x7e00}).raw(std::string(32, '\1'));  // Q8_0 with d = NaN
  data.pad_to(32).value(1.0f).value(std::numeric_limits<float>::infinity());
  GgufBuilder file;
  file.tensor("q", {32}, 8, 0).tensor("f", {2}, 0, 64);
  const auto gguf = open_gguf(file.build(data.bytes));
  REQUIRE(gguf);
  CHECK(message_of(gguf->read_floats(*gguf->find("q")).status()) ==
        "memory: tensor 'q': value 0 is NaN or infinite in float32");
  CHECK(message_of(gguf->read_floats(*gguf->find("f")).status()) ==
        "memory: tensor 'f': value 1 is NaN or infinite in float32");
  CHECK(gguf->read_floats(*gguf->find("f"), NotFinite::keep).has_value());
  CHECK(message_of(gguf->read_q8_0_codes(*gguf->find("q")).status()) ==
        "memory: tensor 'q': the scale of block 0 is NaN or infinite");
}

TEST_CASE("GGUF: a known layout without a formula opens and is refused when read") {
  GgufBuilder file;
  file.tensor("k", {256}, 15, 0);
  const auto gguf = open_gguf(file.build(Bytes(292)));
  REQUIRE(gguf);
  CHECK(contains(message_of(gguf->read_floats(*gguf->find("k")).status()),
                 "memory: tensor 'k': values of type Q8_K (15) are not read"));
}

TEST_CASE("GGUF: the bytes of a value are those that hold it, and an array ends where it says") {
  GgufBuilder file;
  file.metadata<std::uint64_t>("zero", 10, 0).string("text", "abc");
  file.array<std::string>("words", 8, {"a", "", "bcd"}).array<std::uint16_t>("numbers", 2, {1, 2, 3});
  const std::string key = "last-" + std::string((32 - (24 + file.values.bytes.size() + 53) % 32) % 32, 'k');
  file.array<std::uint64_t>(key, 10, {1, 2, 3});
  REQUIRE((24 + file.values.bytes.size()) % 32 == 0);
  const auto gguf = open_gguf(file.build(Bytes(31, std::byte{0xff})));  // right behind the array
  REQUIRE_MESSAGE(gguf.has_value(), message_of(gguf.status()));
  CHECK(*gguf->get_integer("zero") == 0);
  CHECK(gguf->find_metadata("zero")->bytes.size() == 8);
  CHECK(gguf->find_metadata("text")->bytes.size() == 8 + 3);
  CHECK(gguf->find_metadata("words")->bytes.size() == 3 * 8 + 4);
  CHECK(gguf->find_metadata("numbers")->bytes.size() == 6);
  CHECK(*gguf->int_array(key) == std::vector<std::int64_t>{1, 2, 3});
  CHECK(gguf->metadata().size() == 5);
}

TEST_CASE("GGUF: a tensor is found by its whole name alone, and rows are asked for by first and count") {
  GgufBuilder file;
  file.tensor("b", {2, 3}, 0, 0).tensor("d", {0, 3}, 0, 32);
  ByteBuilder data;
  for (float v : {1.0f, 2.0f, 3.0f, 4.0f, 5.0f, std::numeric_limits<float>::infinity()}) data.value(v);
  data.pad_to(32);
  const auto gguf = open_gguf(file.build(data.bytes));
  REQUIRE_MESSAGE(gguf.has_value(), message_of(gguf.status()));
  for (const char* name : {"a", "c", "e", "", "bb"}) CHECK(gguf->find(name) == nullptr);
  const GgufTensor& b = *gguf->find("b");
  float out[6] = {};
  CHECK(gguf->dequantize_rows(b, 0, -1, out).code() == ErrorCode::shape_mismatch);
  CHECK(gguf->dequantize_rows(b, 4, 0, out).code() == ErrorCode::shape_mismatch);
  CHECK(gguf->dequantize_rows(b, 3, 0, nullptr).ok());
  CHECK(gguf->dequantize_rows(*gguf->find("d"), 1, 2, nullptr).ok());
  CHECK(gguf->dequantize_rows(b, 1, 1, out).ok());
  CHECK((out[0] == 3.0f && out[1] == 4.0f && out[2] == 0.0f));
  CHECK(message_of(gguf->dequantize_rows(b, 1, 2, out)) == "memory: tensor 'b': value 5 is NaN or infinite in float32");
}

TEST_CASE("GGUF: a real model") {
  const char* path = std::getenv("PLANISH_TEST_MODEL");
  if (path == nullptr || !std::string_view(path).ends_with(".gguf")) {
    MESSAGE("skipped: PLANISH_TEST_MODEL names no GGUF file");
    return;
  }
  const auto gguf = GgufFile::open(path);
  REQUIRE_MESSAGE(gguf.has_value(), message_of(gguf.status()));
  CHECK_FALSE(gguf->tensors().empty());
  for (const GgufTensor& tensor : gguf->tensors())
    if (can_dequantize(tensor.type())) CHECK(gguf->read_floats(tensor).has_value());
}
