#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/io/artefact_transform.hpp>
#include <planish/transform/block_diagonal.hpp>
#include <planish/transform/dense.hpp>
#include <planish/transform/hadamard.hpp>
#include <planish/transform/identity.hpp>
#include <planish/transform/kronecker.hpp>
#include <planish/transform/permutation.hpp>
#include <planish/transform/rotation.hpp>
#include <planish/transform/scale.hpp>
#include <planish/transform/shift.hpp>

#include "files.hpp"

using namespace planish;
using namespace planish::io;
using namespace io_test;

namespace {

template <class T>
std::vector<T> applied(const AnyTransform& transform, std::span<const T> x, planish::index rows) {
  std::vector<T> y(x.size());
  std::vector<T> scratch(static_cast<std::size_t>(transform.scratch_size(rows)));
  transform.apply(MatrixView<const T>(x.data(), rows, transform.size()),
                  MatrixView<T>(y.data(), rows, transform.size()), scratch);
  return y;
}

/// Equal to the bit in float32, and as near as float32 parameters can be in float64.
void check_same(const AnyTransform& a, const AnyTransform& b, Random& random) {
  std::vector<double> x(static_cast<std::size_t>(3 * a.size()));
  for (double& v : x) v = random.normal();
  const std::vector<float> single(x.begin(), x.end());
  CHECK(applied<float>(a, single, 3) == applied<float>(b, single, 3));
  const auto left = applied<double>(a, x, 3), right = applied<double>(b, x, 3);
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(left[i] == doctest::Approx(right[i]).epsilon(1e-5));
}

}  // namespace

TEST_CASE("artefact: transforms come back and do the same to the bit") {
  Random random(51);
  INFO("seed 51");
  const auto vector = [&](std::size_t size) {
    std::vector<float> values(size);
    for (float& v : values) v = static_cast<float>(1.0 + 0.5 * random.uniform());
    return values;
  };
  const auto dense = [&](planish::index n) { return Dense::random(n, 1 + random.below(1000), 3.0); };
  std::vector<AnyTransform> all;
  all.emplace_back(AnyTransform::identity(12));
  all.emplace_back(AnyTransform(*Shift::make(vector(12))));
  all.emplace_back(AnyTransform(*Scale::make(vector(12))));
  all.emplace_back(AnyTransform(*Permutation::make(std::vector<std::int32_t>{3, 0, 2, 1})));
  all.emplace_back(AnyTransform(*Hadamard::make(12)));
  all.emplace_back(AnyTransform(*Hadamard::make(12, 5)));
  all.emplace_back(AnyTransform(Rotation::random(12, 7)));
  all.emplace_back(AnyTransform(dense(12)));
  all.emplace_back(AnyTransform(Kronecker(dense(3), dense(4))));
  all.emplace_back(AnyTransform(Kronecker(Identity(3), dense(4))));
  all.emplace_back(AnyTransform(Kronecker(dense(3), Identity(4))));
  {
    std::vector<Dense> blocks;
    for (planish::index n : {2, 3, 7}) blocks.push_back(dense(n));
    all.emplace_back(AnyTransform(*BlockDiagonal<Dense>::make(std::move(blocks))));
  }
  AnyTransform sequence(*Shift::make(vector(12)));
  for (std::size_t i : {2u, 8u, 4u, 2u}) REQUIRE(sequence.append(all[i].clone()).ok());
  all.push_back(sequence);

  const TemporaryFolder folder;
  ArtefactWriter writer;
  for (std::size_t i = 0; i < all.size(); ++i)
    REQUIRE(add_transform(writer, "layers.0.site" + std::to_string(i), all[i]).ok());
  REQUIRE(writer.write(folder / "a").ok());
  const auto file = Artefact::open(folder / "a");
  REQUIRE_MESSAGE(file.has_value(), message_of(file.status()));
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string name = "layers.0.site" + std::to_string(i);
    CAPTURE(all[i].describe());
    CHECK(has_transform(*file, name));
    const auto read = read_transform(*file, name);
    REQUIRE_MESSAGE(read.has_value(), message_of(read.status()));
    CHECK(read->describe() == all[i].describe());
    CHECK(read->size() == all[i].size());
    check_same(*read, all[i], random);
    check_same(read->dual(), all[i].dual(), random);
  }
  CHECK_FALSE(has_transform(*file, "none"));
  CHECK(message_of(read_transform(*file, "none").status()) == folder / "a" + ": transform 'none': is not in this file");
}

TEST_CASE("artefact: transforms that their description does not fit") {
  const auto refused = [](const std::string& description) {
    const TemporaryFolder folder;
    ArtefactWriter writer;
    REQUIRE(writer.add_floats("t.0.factors", {1, 2}, std::vector<float>{1.0f, 2.0f}).ok());
    REQUIRE(writer.add_floats("t.1.factors", {1, 2}, std::vector<float>{1.0f, 0.0f}).ok());
    REQUIRE(writer.set_description(artefact_key::transform, "t", description).ok());
    REQUIRE(writer.write(folder / "a").ok());
    const auto file = Artefact::open(folder / "a");
    REQUIRE(file);
    const Status status = read_transform(*file, "t").status();
    if (!status.ok()) CHECK(is_good_message(status, folder / "a" + ": "));
    return message_of(status);
  };
  const std::string good = R"({"size":2,"stages":[{"name":"scale","parameters":["factors"]}]})";
  const auto with = [&](std::string_view from, std::string_view to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  CHECK(refused(good).empty());
  CHECK(refused(with("}]}", ",\"later\":[1]}],\"more\":0}")).empty());  // of newer writers
  CHECK(contains(refused(with("scale", "magic")), "transform 't': stage 0: unknown stage 'magic'"));
  CHECK(contains(refused(with("scale", "ma\\u007fgic\\u0007")), "unknown stage 'ma?gic?'"));
  CHECK(contains(refused(with("\"factors\"", "\"gains\"")), "tensor 't.0.gains': is not in this file"));
  CHECK(contains(refused(with("\"factors\"", "")), "the parameter 'factors' is missing"));
  CHECK(contains(refused(with("\"size\":2", "\"size\":3")), "stage 0 has 2 channels, not 3"));
  CHECK(contains(refused(with("}]}", "},{\"name\":\"scale\",\"parameters\":[\"factors\"]}]}")),
                 "transform 't': stage 1: "));
  for (const std::string& bad : {with("\"size\":2,", ""), with("2", "-2"), with("2", "2.5"),
                                 std::string("{\"size\":2}"), std::string(), good + "x"})
    CHECK(contains(refused(bad), "the description is not understood"));
}

TEST_CASE("artefact: parameters have the names that the format says, numbered where a stage has one name twice") {
  std::vector<Dense> blocks;
  for (const planish::index n : {2, 3, 7}) blocks.push_back(Dense::random(n, 5, 3.0));
  AnyTransform transform(*BlockDiagonal<Dense>::make(std::move(blocks)));
  REQUIRE(transform.append(AnyTransform(Kronecker(Dense::random(3, 1, 3.0), Dense::random(4, 2, 3.0)))).ok());
  const TemporaryFolder folder;
  ArtefactWriter writer;
  REQUIRE(add_transform(writer, "t", transform).ok());
  REQUIRE(writer.set_description(artefact_key::transform, "empty", R"({"size":0,"stages":[]})").ok());
  REQUIRE(writer.write(folder / "a").ok());
  const auto file = Artefact::open(folder / "a");
  REQUIRE(file);
  const auto has = [&](const std::string& name) { return file->find(name) != nullptr; };
  CHECK(has("t.0.block"));
  CHECK(has("t.0.block.1"));
  CHECK(has("t.0.block.2"));
  CHECK(has("t.1.left"));
  CHECK(has("t.1.right"));
  const auto empty = read_transform(*file, "empty");
  REQUIRE(empty);
  CHECK(empty->size() == 0);
}
