#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/io/artefact.hpp>
#include <planish/io/artefact_writer.hpp>
#include <planish/io/safetensors_writer.hpp>
#include <planish/packing/codes.hpp>

#include "files.hpp"

using namespace planish;
using namespace planish::io;
using namespace io_test;

namespace {

bool same(Codes& a, Codes& b) {
  const auto equal = [](auto x, auto y) { return std::equal(x.begin(), x.end(), y.begin(), y.end()); };
  return a.rows() == b.rows() && a.columns() == b.columns() && a.bits() == b.bits() && a.symmetry() == b.symmetry() &&
         a.group_size() == b.group_size() && equal(a.codes(), b.codes()) && equal(a.scales(), b.scales()) &&
         equal(a.zero_points(), b.zero_points());
}

/// The bytes of an artefact-like file with these strings; the hash is right unless they set it.
Bytes forged(const Metadata& strings, const std::function<void(SafetensorsWriter&)>& add = {}) {
  const TemporaryFolder folder;
  SafetensorsWriter writer;
  REQUIRE(writer.set_metadata("planish.format", "1.0").ok());
  if (add) add(writer);
  for (const auto& [key, value] : strings) REQUIRE(writer.set_metadata(key, value).ok());
  bool hashed = false;
  for (const auto& [key, value] : strings) hashed = hashed || key == artefact_key::content;
  if (!hashed)
    REQUIRE(writer.set_metadata("planish.content_sha256", artefact_hash(writer.metadata(), writer.tensors())).ok());
  REQUIRE(writer.write(folder / "f").ok());
  return read_bytes(folder / "f");
}

}  // namespace

TEST_CASE("artefact: codes of every width, shape and grouping come back, with everything else") {
  const TemporaryFolder folder;
  Random random(31);
  INFO("seed 31");
  ArtefactWriter writer;
  std::vector<std::pair<std::string, Codes>> all;
  for (int bits = 2; bits <= 8; ++bits)
    for (Symmetry symmetry : {Symmetry::symmetric, Symmetry::asymmetric})
      for (planish::index columns : {0, 1, 7, 63, 64, 65, 576})
        for (planish::index group : {0, 1, 32, 100}) {
          const std::string name = "w" + std::to_string(all.size());
          all.emplace_back(name, random_codes(random, 1 + columns % 5, columns, bits, symmetry, group));
          REQUIRE(writer.add_codes(name, all.back().second.view()).ok());
        }
  all.emplace_back("no rows", random_codes(random, 0, 64, 4, Symmetry::symmetric, 0));
  REQUIRE(writer.add_codes("no rows", all.back().second.view()).ok());
  const std::vector<float> factor = {1.0f, -2.0f, 3.0f, 4.0f};
  REQUIRE(writer.add_floats("site.kronecker.left", {2, 2}, factor).ok());
  REQUIRE(writer.add_clip("site.clip", {0.75f, 0.5f}).ok());
  REQUIRE(writer.set_recipe("w4a4kv4+kronecker").ok());
  REQUIRE(writer.set_model_sha256(std::string(64, 'a')).ok());
  REQUIRE(writer.set_string("host.note", "\u00fc").ok());
  REQUIRE(writer.write(folder / "a.planish").ok());

  const auto file = Artefact::open(folder / "a.planish");
  REQUIRE_MESSAGE(file.has_value(), message_of(file.status()));
  CHECK((file->major_version() == 1 && file->minor_version() == 1));
  CHECK(file->recipe() == "w4a4kv4+kronecker");
  CHECK(file->model_sha256() == std::string(64, 'a'));
  CHECK(*file->find_string("host.note") == "\u00fc");
  CHECK(*file->read_floats("site.kronecker.left") == factor);
  CHECK(*file->read_clip("site.clip") == ClipPair{0.75f, 0.5f});
  CHECK(file->codes_names().size() == all.size());
  for (auto& pair : all) {
    const std::string& name = pair.first;
    Codes& codes = pair.second;
    CAPTURE(name);
    CHECK(file->has_codes(name));
    auto read = file->read_codes(name);
    REQUIRE_MESSAGE(read.has_value(), message_of(read.status()));
    CHECK(same(*read, codes));
  }
  CHECK_FALSE(file->has_codes("w"));
  CHECK(message_of(file->read_codes("w").status()) == folder / "a.planish" + ": codes 'w': are not in this file");
  CHECK(contains(message_of(file->read_floats("none").status()), "tensor 'none': is not in this file"));
  CHECK(contains(message_of(file->read_clip("site.kronecker.left").status()), "is not a clip pair"));

  // Any reader of safetensors lists it.
  CHECK(SafetensorsFile::open(folder / "a.planish")->find("w5.codes") != nullptr);
}

TEST_CASE("artefact: the writer refuses what is wrong") {
  ArtefactWriter writer;
  CHECK(writer.set_string("planish.format", "9.9").code() == ErrorCode::invalid_argument);
  const float bad[] = {1.0f, std::numeric_limits<float>::quiet_NaN()};
  CHECK(message_of(writer.add_floats("f", {2}, bad)) == "tensor 'f': value 1 is NaN or infinite");
  Random random(1);
  auto codes = random_codes(random, 2, 3, 4, Symmetry::symmetric, 0);
  CHECK(writer.add_codes("c", codes.view()).ok());
  CHECK(writer.add_codes("c", codes.view()).code() == ErrorCode::invalid_argument);
  codes.scales()[1] = std::numeric_limits<float>::infinity();
  CHECK(writer.add_codes("d", codes.view()).code() == ErrorCode::not_finite);
}

TEST_CASE("artefact: versions") {
  CHECK(open_artefact(forged({})).has_value());
  CHECK(open_artefact(forged({{"planish.format", "1.7"}})).has_value());
  const Status newer = open_artefact(forged({{"planish.format", "2.0"}})).status();
  CHECK(newer.code() == ErrorCode::unsupported);
  CHECK(message_of(newer) == "memory: artefact of format 2.0; this planish reads up to 1.x: use a newer one");
  for (const char* version : {"", "1", "1.", ".0", "1.0.0", "one", "0.1", "-1.0", "1.-1", "1.0 ", "99999999999.0"}) {
    CAPTURE(version);
    CHECK(contains(message_of(open_artefact(forged({{"planish.format", version}})).status()), "is not MAJOR.MINOR"));
  }
  CHECK(contains(message_of(open_artefact(safetensors_bytes("{}", 0)).status()), "not a planish artefact"));
}

TEST_CASE("artefact: any change of its content is noticed") {
  const auto with_tensor = [](SafetensorsWriter& w) {
    REQUIRE(w.add_floats("tensor", {2}, std::vector<float>{1.0f, 2.0f}).ok());
  };
  const Bytes good = forged({{"planish.recipe", "w4a4"}}, with_tensor);
  REQUIRE(open_artefact(good).has_value());
  CHECK(contains(message_of(open_artefact(forged({{"planish.content_sha256", std::string(64, '0')}})).status()),
                 "does not match its hash"));
  for (std::size_t i = 0; i < good.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      Bytes flipped = good;
      flipped[i] ^= static_cast<std::byte>(1 << bit);
      CAPTURE(i);
      CAPTURE(bit);
      CHECK(is_good_message(open_artefact(flipped).status(), "memory: "));
    }
}

TEST_CASE("artefact: codes that their description does not fit") {
  const std::string good = R"({"rows":2,"columns":4,"bits":4,"symmetric":false,"group_size":2})";
  const auto status_of = [](const std::string& description, std::uint8_t zero = 15, float scale = 1.0f) {
    const Bytes bytes = forged({{"planish.codes.c", description}}, [&](SafetensorsWriter& w) {
      const std::vector<std::uint8_t> packed(4, 0x21), zeros(4, zero);
      REQUIRE(w.add("c.codes", Dtype::u8, {2, 2}, std::as_bytes(std::span(packed))).ok());
      REQUIRE(w.add_floats("c.scales", {2, 2}, std::vector<float>(4, scale)).ok());
      REQUIRE(w.add("c.zero_points", Dtype::u8, {2, 2}, std::as_bytes(std::span(zeros))).ok());
    });
    const auto file = open_artefact(bytes);
    REQUIRE_MESSAGE(file.has_value(), message_of(file.status()));
    return file->read_codes("c").status();
  };
  CHECK(status_of(good).ok());
  CHECK(contains(message_of(status_of(good, 16)), "zero point 16 does not fit 4 bits"));
  CHECK(status_of(good, 15, std::numeric_limits<float>::quiet_NaN()).code() == ErrorCode::not_finite);
  const auto with = [&](std::string_view from, std::string_view to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  CHECK(status_of(with("}", ",\"later\":[1]}")).ok());
  for (const auto& bad :
       {with("\"rows\":2", "\"rows\":3"), with("\"columns\":4", "\"columns\":5"), with("\"bits\":4", "\"bits\":8"),
        with("\"bits\":4", "\"bits\":1"), with("\"bits\":4", "\"bits\":9"), with("\"bits\":4", "\"bits\":-4"),
        with("\"group_size\":2", "\"group_size\":0"), with("\"group_size\":2", "\"group_size\":4"),
        with("\"rows\":2,", ""), with("\"symmetric\":false,", ""), with("false", "0"),
        with("\"columns\":4", "\"columns\":9223372036854775807"), with("\"rows\":2", "\"rows\":18446744073709551615"),
        std::string(), std::string("[]"), good + good}) {
    CAPTURE(bad);
    const Status status = status_of(bad);
    CHECK(is_good_message(status, "memory: codes 'c': "));
    CHECK(status.code() == ErrorCode::malformed);
  }
}

TEST_CASE("artefact: every tensor of codes has the dtype, rank, rows and columns that their description says") {
  struct Part {
    const char* name;
    Dtype dtype;
    std::vector<planish::index> shape;
  };
  const auto status_of = [](bool symmetric, const std::vector<Part>& parts) {
    const std::string description = std::string(R"({"rows":2,"columns":4,"bits":4,"symmetric":)") +
                                    (symmetric ? "true" : "false") + R"(,"group_size":2})";
    const auto file = open_artefact(forged({{"planish.codes.c", description}}, [&](SafetensorsWriter& w) {
      for (const Part& part : parts) {
        std::size_t size = static_cast<std::size_t>(size_of(part.dtype));
        for (const planish::index extent : part.shape) size *= static_cast<std::size_t>(extent);
        REQUIRE(w.add(part.name, part.dtype, part.shape, Bytes(size)).ok());
      }
    }));
    REQUIRE_MESSAGE(file.has_value(), message_of(file.status()));
    return file->read_codes("c").status();
  };
  const std::vector<Part> good = {
      {"c.codes", Dtype::u8, {2, 2}}, {"c.scales", Dtype::f32, {2, 2}}, {"c.zero_points", Dtype::u8, {2, 2}}};
  for (const bool symmetric : {false, true}) {
    REQUIRE(status_of(symmetric, good).ok());
    for (std::size_t i = 0; i < (symmetric ? 2u : 3u); ++i) {
      const auto refused = [&](const Part& part) {
        std::vector<Part> parts = good;
        parts[i] = part;
        const Status status = status_of(symmetric, parts);
        return status.code() == ErrorCode::malformed && contains(message_of(status), "a tensor is missing or of");
      };
      CAPTURE(good[i].name);
      CHECK(refused({"another", good[i].dtype, {2, 2}}));
      CHECK(refused({good[i].name, good[i].dtype == Dtype::u8 ? Dtype::i8 : Dtype::i32, {2, 2}}));
      CHECK(refused({good[i].name, good[i].dtype, {2, 2, 1}}));
      CHECK(refused({good[i].name, good[i].dtype, {4}}));
      CHECK(refused({good[i].name, good[i].dtype, {3, 2}}));
      CHECK(refused({good[i].name, good[i].dtype, {2, 3}}));
      CHECK(refused({good[i].name, good[i].dtype, {1, 4}}));
    }
  }
}

TEST_CASE("artefact: versions are two numbers with a point between them, a clip pair is two valid clips") {
  for (const char* version : {"1x0", "1-0", "1 0", "1,0", "1..0", "x.0", "1.x"}) {
    CAPTURE(version);
    CHECK(contains(message_of(open_artefact(forged({{"planish.format", version}})).status()), "is not MAJOR.MINOR"));
  }
  const auto file = open_artefact(forged({}, [](SafetensorsWriter& w) {
    REQUIRE(w.add_floats("good", {2}, std::vector<float>{1.0f, 16.0f}).ok());
    REQUIRE(w.add_floats("bad", {2}, std::vector<float>{1.0f, 0.0f}).ok());
    REQUIRE(w.add_floats("none", {0}, {}).ok());
  }));
  REQUIRE(file);
  CHECK(*file->read_clip("good") == ClipPair{1.0f, 16.0f});
  CHECK(contains(message_of(file->read_clip("bad").status()), "is not a clip pair"));
  CHECK(contains(message_of(file->read_clip("none").status()), "is not a clip pair"));
}

TEST_CASE("safetensors: names and keys are found whole, and shapes without bytes are checked as all others") {
  const auto file = open_safetensors(
      safetensors_bytes(R"({"__metadata__":{"b":"1","d":"2"},"b":{"dtype":"U64","shape":[1],"data_offsets":[0,8]},)"
                        R"("d":{"dtype":"U8","shape":[0],"data_offsets":[8,8]}})",
                        8));
  REQUIRE(file);
  for (const char* name : {"", "a", "bb", "c", "e"}) {
    CHECK(file->find(name) == nullptr);
    CHECK(file->find_metadata(name) == nullptr);
  }
  const auto zero = open_safetensors(
      ByteBuilder().text(R"({"b":{"dtype":"U64","shape":[1],"data_offsets":[0,8]}})").value(std::uint64_t{0}).bytes);
  REQUIRE(zero);
  CHECK(*zero->read_integers(*zero->find("b")) == std::vector<std::int64_t>{0});

  SafetensorsWriter writer;
  CHECK(writer.add("negative", Dtype::u8, {-1}, {}).code() == ErrorCode::shape_mismatch);
  CHECK(writer.add("negative", Dtype::u8, {0, -1}, {}).code() == ErrorCode::shape_mismatch);
  CHECK(writer.add("empty", Dtype::u8, {0, 5}, {}).ok());
}

TEST_CASE("artefact: codes without columns or rows are read at once, however many rows or columns they say") {
  if constexpr (sizeof(planish::index) == 8) {
    const auto read = [](planish::index rows, planish::index columns, planish::index groups) {
      const std::string description = "{\"rows\":" + std::to_string(rows) + ",\"columns\":" + std::to_string(columns) +
                                      R"(,"bits":8,"symmetric":true,"group_size":)" +
                                      std::to_string(columns == 0 ? 1 : columns) + "}";
      const auto file = open_artefact(forged({{"planish.codes.c", description}}, [&](SafetensorsWriter& w) {
        REQUIRE(w.add("c.codes", Dtype::u8, {rows, columns}, {}).ok());
        REQUIRE(w.add("c.scales", Dtype::f32, {rows, groups}, {}).ok());
      }));
      REQUIRE_MESSAGE(file.has_value(), message_of(file.status()));
      const auto codes = file->read_codes("c");
      return codes.has_value() && codes->rows() == rows && codes->columns() == columns;
    };
    CHECK(read(planish::index{1} << 50, 0, 0));
    constexpr planish::index most =
        std::numeric_limits<planish::index>::max() / 8 - 1;  // columns whose bits are counted
    CHECK(read(0, most - 1, 1));
    CHECK(read(0, most, 1));
    CHECK_FALSE(read(0, most + 1, 1));
  }
}
