#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/half.hpp>
#include <planish/core/random.hpp>
#include <planish/io/safetensors.hpp>
#include <planish/io/safetensors_writer.hpp>

#include "files.hpp"

using namespace planish;
using namespace planish::io;
using namespace io_test;

namespace {
constexpr Dtype all_dtypes[] = {Dtype::boolean, Dtype::u8,  Dtype::i8,  Dtype::f8_e5m2, Dtype::f8_e4m3,
                                Dtype::i16,     Dtype::u16, Dtype::f16, Dtype::bf16,    Dtype::i32,
                                Dtype::u32,     Dtype::f32, Dtype::f64, Dtype::i64,     Dtype::u64};
}

TEST_CASE("safetensors: every dtype, rank 0, and no elements at all come back") {
  const TemporaryFolder folder;
  const std::string path = folder / "all.safetensors";
  Random random(3);
  INFO("seed 3");
  SafetensorsWriter writer;
  struct Expected {
    std::string name;
    Dtype dtype;
    std::vector<planish::index> shape;
    Bytes bytes;
  };
  std::vector<Expected> expected;
  for (Dtype dtype : all_dtypes)
    for (const std::vector<planish::index>& shape :
         {std::vector<planish::index>{}, {0}, {1}, {7}, {3, 0, 5}, {63, 2}, {1, 65}, {2, 3, 4, 5}}) {
      planish::index count = 1;
      std::string name = std::string(name_of(dtype)) + "/\u00e9\"\\\n";
      for (planish::index extent : shape) {
        count *= extent;
        name += '.' + std::to_string(extent);
      }
      Bytes bytes(static_cast<std::size_t>(count * size_of(dtype)));
      for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.below(256));
      REQUIRE(writer.add(name, dtype, shape, bytes).ok());
      expected.push_back({name, dtype, shape, bytes});
    }
  REQUIRE(writer.set_metadata("key \"1\"", "a\nb\u20ac").ok());
  REQUIRE(writer.set_metadata("empty", "first").ok());
  REQUIRE(writer.set_metadata("empty", "").ok());
  REQUIRE(writer.write(path).ok());
  CHECK(folder.names().size() == 1);

  const auto file = SafetensorsFile::open(path);
  REQUIRE_MESSAGE(file.has_value(), message_of(file.status()));
  CHECK(file->tensors().size() == expected.size());
  CHECK(*file->find_metadata("key \"1\"") == "a\nb\u20ac");
  CHECK(file->find_metadata("empty")->empty());
  CHECK(file->find_metadata("other") == nullptr);
  for (const auto& e : expected) {
    CAPTURE(e.name);
    const Tensor* tensor = file->find(e.name);
    REQUIRE(tensor != nullptr);
    CHECK(tensor->dtype == e.dtype);
    CHECK(tensor->shape == e.shape);
    CHECK(std::equal(tensor->bytes.begin(), tensor->bytes.end(), e.bytes.begin(), e.bytes.end()));
    CHECK(reinterpret_cast<std::uintptr_t>(tensor->bytes.data()) % static_cast<std::uintptr_t>(size_of(e.dtype)) == 0);
  }
  CHECK(file->find("none") == nullptr);
  CHECK(message_of(file->get("none").status()) == path + ": tensor 'none': is not in this file");
  CHECK(io::detail::load<std::uint64_t>(read_bytes(path).data()) % 8 == 0);
}

TEST_CASE("safetensors: no tensors, only metadata, and nothing at all") {
  auto empty = open_safetensors(safetensors_bytes("{}", 0));
  REQUIRE(empty);
  CHECK(empty->tensors().empty());
  auto strings = open_safetensors(safetensors_bytes(R"({"__metadata__":{"b":"2","a":"1"}}   )", 0));
  REQUIRE(strings);
  CHECK(*strings->find_metadata("a") == "1");
}

TEST_CASE("safetensors: floats of every float type, at any address") {
  const float values[] = {0.0f, -0.0f, 1.5f, -3.25f, 0x1p-14f, 65504.0f};
  for (std::size_t shift : {0u, 1u, 3u}) {
    ByteBuilder data;
    data.raw(std::string(shift, 'x'));
    for (float v : values) data.value(static_cast<double>(v));
    for (float v : values) data.value(v);
    for (float v : values) data.value(Half::from_float(v));
    for (float v : values) data.value(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(v) >> 16));
    const auto range = [&](std::size_t begin, std::size_t size) {
      return std::to_string(shift + begin) + ',' + std::to_string(shift + begin + size);
    };
    const std::string header = R"({"x":{"dtype":"U8","shape":[)" + std::to_string(shift) + R"(],"data_offsets":[0,)" +
                               std::to_string(shift) + R"(]},"d":{"dtype":"F64","shape":[6],"data_offsets":[)" +
                               range(0, 48) + R"(]},"f":{"dtype":"F32","shape":[6],"data_offsets":[)" + range(48, 24) +
                               R"(]},"h":{"dtype":"F16","shape":[3,2],"data_offsets":[)" + range(72, 12) +
                               R"(]},"b":{"dtype":"BF16","shape":[6],"data_offsets":[)" + range(84, 12) + R"(]}})";
    ByteBuilder bytes;
    bytes.text(header);
    bytes.bytes.insert(bytes.bytes.end(), data.bytes.begin(), data.bytes.end());
    const auto file = open_safetensors(bytes.bytes);
    REQUIRE_MESSAGE(file.has_value(), message_of(file.status()));
    for (const char* name : {"d", "f", "h", "b"}) {
      CAPTURE(name);
      const auto read = file->read_floats(*file->find(name));
      REQUIRE(read);
      for (std::size_t i = 0; i < 6; ++i) {
        const std::uint32_t kept_bits = *name == 'b' ? 0xffff0000u : 0xffffffffu;
        CHECK(std::bit_cast<std::uint32_t>((*read)[i]) == (std::bit_cast<std::uint32_t>(values[i]) & kept_bits));
      }
    }
    float row[2] = {};
    CHECK(file->read_rows(*file->find("h"), 1, 1, row).ok());
    CHECK((row[0] == 1.5f && row[1] == -3.25f));
    CHECK(file->read_rows(*file->find("h"), 2, 2, row).code() == ErrorCode::shape_mismatch);
    CHECK(file->read_rows(*file->find("h"), -1, 1, row).code() == ErrorCode::shape_mismatch);
    CHECK(file->read_rows(*file->find("h"), 3, 0, row).ok());
    CHECK(file->read_floats(*file->find("x")).status().code() == ErrorCode::unsupported);
  }
}

TEST_CASE("safetensors: NaN and infinity are refused by the tensor's name unless asked for") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  for (float bad : {nan, infinity, -infinity})
    for (Dtype dtype : {Dtype::f64, Dtype::f32, Dtype::f16, Dtype::bf16}) {
      ByteBuilder data;
      for (float v : {1.0f, bad, 2.0f}) {
        if (dtype == Dtype::f64) data.value(static_cast<double>(v));
        if (dtype == Dtype::f32) data.value(v);
        if (dtype == Dtype::f16) data.value(Half::from_float(v));
        if (dtype == Dtype::bf16) data.value(BFloat16::from_float(v));
      }
      const TemporaryFolder folder;
      SafetensorsWriter writer;
      REQUIRE(writer.add("layer.weight", dtype, {3}, data.bytes).ok());
      REQUIRE(writer.write(folder / "f").ok());
      const auto file = SafetensorsFile::open(folder / "f");
      REQUIRE(file);
      const Tensor& tensor = *file->find("layer.weight");
      const auto refused = file->read_floats(tensor);
      CHECK(refused.status().code() == ErrorCode::not_finite);
      CHECK(message_of(refused.status()) ==
            folder / "f" + ": tensor 'layer.weight': value 1 is NaN or infinite in float32");
      const auto kept = file->read_floats(tensor, NotFinite::keep);
      REQUIRE(kept);
      CHECK((std::isnan(bad) ? std::isnan((*kept)[1]) : (*kept)[1] == bad));
    }
  ByteBuilder beyond;
  beyond.value(1e39).value(-1e300);
  ByteBuilder file;
  file.text(R"({"w":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}})")
      .raw({reinterpret_cast<char*>(beyond.bytes.data()), 16});
  const auto opened = open_safetensors(file.bytes);
  REQUIRE(opened);
  CHECK(opened->read_floats(*opened->find("w")).status().code() == ErrorCode::not_finite);
  CHECK((*opened->read_floats(*opened->find("w"), NotFinite::keep))[1] == -infinity);
}

TEST_CASE("safetensors: the first NaN is found wherever it is") {
  std::vector<float> values(5000, 1.0f);
  CHECK(io::detail::first_not_finite(values) == values.size());
  CHECK(io::detail::first_not_finite({}) == 0);
  for (std::size_t at : {4999u, 2048u, 1024u, 1023u, 1u, 0u}) {
    values[at] = std::numeric_limits<float>::quiet_NaN();
    CHECK(io::detail::first_not_finite(values) == at);
  }
}

TEST_CASE("safetensors: whole numbers of every type") {
  SafetensorsWriter writer;
  const TemporaryFolder folder;
  const std::int32_t i32[] = {-5, 7};
  const std::uint8_t u8[] = {200, 1};
  const std::uint64_t u64[] = {5, std::uint64_t{1} << 63}, small[] = {5, (std::uint64_t{1} << 63) - 1};
  const std::int8_t i8[] = {-128, 127};
  const std::int16_t i16[] = {-32768, 5};
  const std::uint16_t u16[] = {65535, 0};
  const std::uint32_t u32[] = {4294967295, 1};
  const std::int64_t i64[] = {std::numeric_limits<std::int64_t>::min(), 9};
  const std::uint8_t flags[] = {0, 1};
  REQUIRE(writer.add("i8", Dtype::i8, {2}, std::as_bytes(std::span(i8))).ok());
  REQUIRE(writer.add("i16", Dtype::i16, {2}, std::as_bytes(std::span(i16))).ok());
  REQUIRE(writer.add("u16", Dtype::u16, {2}, std::as_bytes(std::span(u16))).ok());
  REQUIRE(writer.add("u32", Dtype::u32, {2}, std::as_bytes(std::span(u32))).ok());
  REQUIRE(writer.add("i64", Dtype::i64, {2}, std::as_bytes(std::span(i64))).ok());
  REQUIRE(writer.add("small", Dtype::u64, {2}, std::as_bytes(std::span(small))).ok());
  REQUIRE(writer.add("flags", Dtype::boolean, {2}, std::as_bytes(std::span(flags))).ok());
  REQUIRE(writer.add("i32", Dtype::i32, {2}, std::as_bytes(std::span(i32))).ok());
  REQUIRE(writer.add("u8", Dtype::u8, {2}, std::as_bytes(std::span(u8))).ok());
  REQUIRE(writer.add("u64", Dtype::u64, {2}, std::as_bytes(std::span(u64))).ok());
  REQUIRE(writer.add_floats("f32", {1}, std::vector<float>{1.0f}).ok());
  REQUIRE(writer.write(folder / "f").ok());
  const auto file = SafetensorsFile::open(folder / "f");
  REQUIRE(file);
  CHECK(*file->read_integers(*file->find("i32")) == std::vector<std::int64_t>{-5, 7});
  CHECK(*file->read_integers(*file->find("u8")) == std::vector<std::int64_t>{200, 1});
  const auto integers = [&](const char* name) { return *file->read_integers(*file->find(name)); };
  CHECK(integers("i8") == std::vector<std::int64_t>{-128, 127});
  CHECK(integers("i16") == std::vector<std::int64_t>{-32768, 5});
  CHECK(integers("u16") == std::vector<std::int64_t>{65535, 0});
  CHECK(integers("u32") == std::vector<std::int64_t>{4294967295, 1});
  CHECK(integers("i64") == std::vector<std::int64_t>{std::numeric_limits<std::int64_t>::min(), 9});
  CHECK(integers("small") == std::vector<std::int64_t>{5, std::numeric_limits<std::int64_t>::max()});
  CHECK(integers("flags") == std::vector<std::int64_t>{0, 1});
  CHECK(file->read_integers(*file->find("u64")).status().code() == ErrorCode::malformed);
  CHECK(file->read_integers(*file->find("f32")).status().code() == ErrorCode::unsupported);
}

TEST_CASE("safetensors: a part of a tensor, and parts that it does not have") {
  const std::vector<float> values = {1.0f, 2.0f, 3.0f, 4.0f};
  const Tensor tensor{"t", Dtype::f32, {4}, std::as_bytes(std::span(values))};
  std::vector<float> two(2), five(5);
  CHECK(read_floats("f", tensor, 1, two).ok());
  CHECK(two == std::vector<float>{2.0f, 3.0f});
  CHECK(read_floats("f", tensor, 2, two).ok());
  CHECK(message_of(read_floats("f", tensor, 3, two)) ==
        "f: tensor 't': elements from 3, 2 of them, were asked for; it has 4");
  for (const planish::index first : {-1, 0, 5})
    CHECK(read_floats("f", tensor, first, five).code() == ErrorCode::shape_mismatch);
}

TEST_CASE("safetensors: a real model") {
  const std::string path = shared_data("stories260K/model.safetensors");
  if (path.empty()) {
    MESSAGE("skipped: no shared data here");
    return;
  }
  const auto file = SafetensorsFile::open(path);
  REQUIRE_MESSAGE(file.has_value(), message_of(file.status()));
  const auto shape_of = [&](const char* name) { return (*file->get(name))->shape; };
  CHECK(shape_of("model.embed_tokens.weight") == std::vector<planish::index>{512, 64});
  CHECK(shape_of("model.layers.4.self_attn.k_proj.weight") == std::vector<planish::index>{32, 64});
  CHECK(shape_of("model.layers.0.mlp.down_proj.weight") == std::vector<planish::index>{64, 172});
  for (const Tensor& tensor : file->tensors()) CHECK(file->read_floats(tensor).has_value());
}
