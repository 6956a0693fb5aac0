// Packed weights in an artefact: mapped, not copied, and the same products; or a sentence.
#include <doctest/doctest.h>

#include <planish/linear/any.hpp>

#include "files.hpp"

namespace artefact_packed {
namespace {

using namespace planish;
using namespace planish::io;
using namespace io_test;
using planish::index;

Codes some_codes(index rows, index columns, int bits, Symmetry symmetry, index group) {
  Random random(static_cast<std::uint64_t>(rows * 1000 + columns));
  return random_codes(random, rows, columns, bits, symmetry, group);
}

/// An artefact that holds `codes` as "w" and, packed, what `change` makes of them.
Artefact written(const TemporaryFolder& folder, const Codes& codes, auto&& change) {
  ArtefactWriter writer;
  REQUIRE(writer.add_floats("odd", {3}, std::vector<float>{1, 2, 3}).ok());  // so that not everything has 64 bytes
  REQUIRE(writer.add_codes("w", codes.view()).ok());
  const auto packed = PackedWeights::make(codes.view());
  REQUIRE(packed.has_value());
  change(writer, packed->view());
  REQUIRE(writer.write(folder / "a").ok());
  auto file = Artefact::open(folder / "a");
  REQUIRE_MESSAGE(file.has_value(), message_of(file.status()));
  return *std::move(file);
}

std::vector<float> product(const AnyLinear& linear, const QuantizedInput& in) {
  std::vector<float> y(static_cast<std::size_t>(in.rows() * linear.rows()));
  std::vector<std::byte> memory(linear.workspace_size(in.rows()));
  REQUIRE(linear.multiply(in, {y.data(), in.rows(), linear.rows()}, Workspace(memory)).ok());
  return y;
}

TEST_CASE("packed weights are multiplied where they lie in the file") {
  for (const index rows : {1, 33, 64})
    for (const index columns : {1, 65, 576})
      for (const int bits : {3, 4, 8})
        for (const Symmetry symmetry : {Symmetry::symmetric, Symmetry::asymmetric})
          for (const index group : {columns, index{32}}) {
            CAPTURE(rows);
            CAPTURE(columns);
            const TemporaryFolder folder;
            const Codes codes = some_codes(rows, columns, bits, symmetry, group);
            const Artefact file = written(folder, codes, [](ArtefactWriter& writer, const PackedWeightsView& view) {
              REQUIRE(add_packed(writer, "w", view).ok());
            });
            REQUIRE(has_packed(file, "w"));
            auto mapped = map_packed(file, "w");
            REQUIRE_MESSAGE(mapped.has_value(), message_of(mapped.status()));
            const Tensor* panels = file.find("w.panels");
            CHECK(static_cast<const void*>(mapped->view().panels) == panels->bytes.data());
            CHECK(reinterpret_cast<std::uintptr_t>(mapped->view().panels) % 64 == 0);
            CHECK(mapped->size_bytes() == PackedWeights::make(codes.view())->size_bytes());

            const std::vector<float> x(static_cast<std::size_t>(3 * columns), 0.5f);
            const auto site = *AnySite::make(AnyTransform::identity(columns), RowQuantizer{.bits = 8});
            std::vector<std::byte> memory(site.workspace_size(3));
            Workspace workspace(memory);
            QuantizedInput in;
            REQUIRE(site.prepare(MatrixView<const float>(x.data(), 3, columns), in, workspace).ok());
            const auto from_file = *AnyLinear::make(*std::move(mapped));
            const auto from_codes = *AnyLinear::make(codes.view());
            CHECK(product(from_file, in) == product(from_codes, in));
            CHECK(from_file.bits_per_weight() == from_codes.bits_per_weight());
            CHECK(from_file.describe() == from_codes.describe());
          }
}

TEST_CASE("packed weights that do not hold what they say are refused by name") {
  const Codes codes = some_codes(33, 65, 4, Symmetry::asymmetric, 32);
  const auto refused = [&](auto&& change, const char* sentence) {
    const TemporaryFolder folder;
    const Artefact file = written(folder, codes, change);
    const auto mapped = map_packed(file, "w");
    REQUIRE_FALSE(mapped.has_value());
    CHECK_MESSAGE(contains(mapped.status().message(), sentence), message_of(mapped.status()));
  };
  refused([](ArtefactWriter&, const PackedWeightsView&) {}, "packed weights 'w': are not in this file");
  refused(
      [](ArtefactWriter& writer, const PackedWeightsView&) {
        REQUIRE(writer.set_description(artefact_key::packed, "w", "panels64x8 {}").ok());
      },
      "packed weights 'w': are not in this file");
  refused(
      [](ArtefactWriter& writer, const PackedWeightsView&) {
        REQUIRE(writer.set_description(artefact_key::packed, "w", "panels32x4 {\"rows\":").ok());
      },
      "the description is not understood");
  refused(
      [](ArtefactWriter& writer, const PackedWeightsView& view) {
        REQUIRE(add_packed(writer, "w", view).ok());
        const CodesDescription larger{view.rows + 32, view.columns, view.bits, view.symmetry, view.group_size};
        REQUIRE(writer.set_description(artefact_key::packed, "w", "panels32x4 " + larger.to_json()).ok());
      },
      "a tensor is missing, of another shape than the description says");
  refused(
      [](ArtefactWriter& writer, PackedWeightsView view) {
        std::vector<std::int32_t> zeros(view.zeros, view.zeros + view.panel_count() * view.groups() * panel_width);
        zeros[5] = 16;
        view.zeros = zeros.data();
        REQUIRE(add_packed(writer, "w", view).ok());
      },
      "weight zero point 16 is no stored value");
}

/// Bytes of an artefact with the four tensors of packed weights, one of which `change` may alter.
struct PackedParts {
  struct Part {
    std::string name;
    Dtype dtype;
    std::vector<index> shape;
    std::span<const std::byte> bytes;
  };
  std::vector<Part> parts;

  explicit PackedParts(const PackedWeightsView& w) {
    const io::detail::PackedShape shape = io::detail::PackedShape::of(w);
    const auto side = static_cast<std::size_t>(shape.panels * shape.side);
    const std::span panels(w.panels, static_cast<std::size_t>(shape.panels * shape.panel_bytes));
    parts = {{"w.panels", Dtype::u8, {shape.panels, shape.panel_bytes}, std::as_bytes(panels)},
             {"w.panel_scales", Dtype::f32, {shape.panels, shape.side}, std::as_bytes(std::span(w.scales, side))},
             {"w.panel_zeros", Dtype::i32, {shape.panels, shape.side}, std::as_bytes(std::span(w.zeros, side))},
             {"w.panel_sums", Dtype::i32, {shape.panels, shape.side}, std::as_bytes(std::span(w.sums, side))}};
  }

  void add_to(ArtefactWriter& writer, const PackedWeightsView& w) const {
    for (const Part& part : parts) REQUIRE(writer.add(part.name, part.dtype, part.shape, part.bytes).ok());
    const CodesDescription is{w.rows, w.columns, w.bits, w.symmetry, w.group_size};
    REQUIRE(writer.set_description(artefact_key::packed, "w", "panels32x4 " + is.to_json()).ok());
  }
};

TEST_CASE("packed weights: each of the four tensors has its dtype, rank and shape, or all are refused") {
  const Codes codes = some_codes(64, 64, 4, Symmetry::asymmetric, 32);
  const auto mapped_with = [&](auto&& change) {
    const TemporaryFolder folder;
    const Artefact file = written(folder, codes, [&](ArtefactWriter& writer, const PackedWeightsView& view) {
      PackedParts parts(view);
      change(parts.parts);
      parts.add_to(writer, view);
    });
    const Status status = map_packed(file, "w").status();
    return status.ok() ? std::string("mapped") : message_of(status);
  };
  using Parts = std::vector<PackedParts::Part>;
  CHECK(mapped_with([](Parts&) {}) == "mapped");
  for (std::size_t i = 0; i < 4; ++i) {
    CAPTURE(i);
    const auto refused = [&](auto&& change) {
      return contains(mapped_with([&](Parts& parts) { change(parts[i]); }), "a tensor is missing, of another shape");
    };
    using Part = PackedParts::Part;
    CHECK(refused([](Part& part) { part.name = "another"; }));
    CHECK(refused([](Part& part) { part.dtype = part.dtype == Dtype::u8 ? Dtype::i8 : Dtype::u32; }));
    CHECK(refused([](Part& part) { part.shape.push_back(1); }));
    CHECK(refused([](Part& part) { part.shape = {part.shape[0] * part.shape[1]}; }));
    CHECK(refused([](Part& part) { part.shape = {part.shape[0] / 2, part.shape[1] * 2}; }));
    CHECK(refused([](Part& part) {
      part.shape[1] /= 2;
      part.bytes = part.bytes.first(part.bytes.size() / 2);
    }));
  }
}

TEST_CASE("borrowed weights need every pointer and a shape whose sums are exact") {
  const Codes codes = some_codes(33, 65, 4, Symmetry::symmetric, 65);
  const auto packed = *PackedWeights::make(codes.view());
  PackedWeightsView view = packed.view();
  CHECK(PackedWeights::borrow(view).has_value());
  view.sums = nullptr;
  CHECK(PackedWeights::borrow(view).status().code() == ErrorCode::invalid_argument);
  view = packed.view();
  view.storage = CodeStorage::byte;
  CHECK(PackedWeights::borrow(view).status().code() == ErrorCode::invalid_argument);
  view = packed.view();
  view.columns = most_elements;
  view.group_size = view.columns;
  CHECK(PackedWeights::borrow(view).status().code() == ErrorCode::unsupported);
}

}  // namespace
}  // namespace artefact_packed
