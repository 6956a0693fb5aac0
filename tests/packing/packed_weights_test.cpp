#include <algorithm>
#include <limits>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <planish/packing/float_panels.hpp>
#include <planish/packing/packed_weights.hpp>
#include <planish/packing/quantized_rows.hpp>

#include "../kernels/samples.hpp"

namespace pl = planish;
using pl::CodeStorage;
using pl::Symmetry;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

TEST_CASE("every channel and column has its own place in the panels") {
  for (CodeStorage storage : {CodeStorage::nibble, CodeStorage::byte}) {
    for (index rows : {1, 31, 32, 33, 65}) {
      for (index columns : {1, 3, 4, 5, 63}) {
        const index bytes = pl::panel_count(rows) * pl::line_count(columns) * pl::line_bytes(storage);
        std::set<std::pair<index, int>> seen;
        for (index r = 0; r < rows; ++r) {
          for (index c = 0; c < columns; ++c) {
            const pl::PanelPosition position = pl::panel_position(storage, r, c, columns);
            CHECK(position.byte >= 0);
            CHECK(position.byte < bytes);
            seen.insert({position.byte, position.shift});
          }
        }
        CHECK(static_cast<index>(seen.size()) == rows * columns);
      }
    }
  }
  static_assert(pl::panel_position(CodeStorage::nibble, 32 + 17, 6, 8) ==
                pl::PanelPosition{(2 + 1) * 64 + 1 * 4 + 2, 4});
  static_assert(pl::panel_position(CodeStorage::byte, 32 + 17, 6, 8) ==
                pl::PanelPosition{(2 + 1) * 128 + 17 * 4 + 2, 0});
}

struct Shape {
  index rows, columns, group_size;
};

TEST_CASE("packed weights give back the codes, scales and zero points they were made of") {
  std::uint64_t seed = 1;
  for (int bits = 2; bits <= 8; ++bits) {
    for (Symmetry symmetry : {Symmetry::symmetric, Symmetry::asymmetric}) {
      for (const Shape shape : {Shape{0, 5, 0}, Shape{1, 1, 0}, Shape{7, 63, 0}, Shape{33, 65, 7}, Shape{64, 64, 32},
                                Shape{65, 0, 0}, Shape{40, 30, 1}}) {
        const index rows = shape.rows, columns = shape.columns, group = shape.group_size;
        INFO("seed ", seed, " bits ", bits, " rows ", rows, " columns ", columns, " group ", group);
        pl::Random random(seed++);
        pl::Codes codes = samples::codes(rows, columns, bits, symmetry, group, random);
        const auto packed = pl::PackedWeights::make(codes.view());
        REQUIRE(packed.has_value());
        auto back = packed->unpack();
        REQUIRE(back.has_value());
        CHECK(back->bits() == bits);
        CHECK(back->group_size() == codes.group_size());
        const auto same = [](auto a, auto b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); };
        CHECK(same(back->codes(), codes.codes()));
        CHECK(same(back->scales(), codes.scales()));
        CHECK(same(back->zero_points(), codes.zero_points()));
        const pl::PackedWeightsView w = packed->view();
        index different = 0;
        for (index r = 0; r < rows; ++r) {
          for (index c = 0; c < columns; ++c) different += w.value(r, c) != codes.view().value(r, c);
          for (index g = 0; g < w.groups(); ++g) {
            std::int32_t sum = 0;
            for (index c = g * w.group_size; c < std::min(columns, (g + 1) * w.group_size); ++c)
              sum += codes.view().code(r, c) - codes.view().affine(r, g).zero_point;
            different += w.sums[w.side_index(r, g)] != sum;
          }
        }
        CHECK(different == 0);
      }
    }
  }
}

TEST_CASE("padding of channels and columns holds the code zero") {
  pl::Random random(5);
  for (int bits : {3, 7}) {
    const auto packed = pl::PackedWeights::make(samples::codes(33, 6, bits, Symmetry::symmetric, 0, random).view());
    REQUIRE(packed.has_value());
    const pl::PackedWeightsView w = packed->view();
    const int offset = pl::storage_offset(w.storage);
    for (index r = 0; r < 64; ++r)
      for (index c = 0; c < 8; ++c)
        if (r >= 33 || c >= 6)
          CHECK(pl::stored_value(w.storage, w.panels, pl::panel_position(w.storage, r, c, w.columns)) == offset);
    CHECK(w.scales[w.side_index(63, 0)] == 0.0f);
    CHECK(w.zeros[w.side_index(63, 0)] == offset);
    CHECK(w.sums[w.side_index(63, 0)] == 0);
  }
}

TEST_CASE("what cannot be multiplied exactly, or is no number, is refused") {
  pl::Random random(9);
  const auto refuses = [](const pl::CodesView& codes, pl::ErrorCode code) {
    CHECK(pl::PackedWeights::make(codes).status().code() == code);
  };
  refuses(samples::codes(1, pl::most_columns + 1, 2, Symmetry::symmetric, 64, random).view(),
          pl::ErrorCode::unsupported);
  refuses(samples::codes(1, 40000, 8, Symmetry::asymmetric, 0, random).view(), pl::ErrorCode::unsupported);
  CHECK(pl::PackedWeights::make(samples::codes(1, 40000, 8, Symmetry::symmetric, 0, random).view()).has_value());

  pl::Codes codes = samples::codes(4, 9, 3, Symmetry::asymmetric, 4, random);
  codes.scales()[5] = std::numeric_limits<float>::quiet_NaN();
  refuses(codes.view(), pl::ErrorCode::not_finite);
  codes.scales()[5] = 1.0f;
  codes.codes()[7] = 8;
  refuses(codes.view(), pl::ErrorCode::malformed);
  codes.codes()[7] = 7;
  codes.zero_points()[2] = 8;
  refuses(codes.view(), pl::ErrorCode::malformed);
  codes.zero_points()[2] = 0;
  CHECK(pl::PackedWeights::make(codes.view()).has_value());
  pl::CodesView view = codes.view();
  view.bits = 9;
  refuses(view, pl::ErrorCode::invalid_argument);
  view = codes.view();
  view.zero_points = nullptr;
  refuses(view, pl::ErrorCode::invalid_argument);

  CHECK(pl::Codes::make(1, 1, 1, Symmetry::symmetric).status().code() == pl::ErrorCode::invalid_argument);
  CHECK(pl::Codes::make(-1, 1, 4, Symmetry::symmetric).status().code() == pl::ErrorCode::invalid_argument);
  CHECK(pl::Codes::make(pl::most_elements, pl::most_elements, 4, Symmetry::symmetric).status().code() ==
        pl::ErrorCode::out_of_memory);
}

TEST_CASE("float panels hold every weight, and zeros behind the last channel") {
  for (index rows : {0, 1, 31, 32, 33, 65}) {
    for (index columns : {0, 1, 7, 64}) {
      pl::Random random(static_cast<std::uint64_t>(rows * 100 + columns));
      std::vector<float> values = samples::floats(rows * columns, random);
      const pl::MatrixView<const float> w(values.data(), rows, columns);
      const auto panels = pl::FloatPanels::make(w);
      REQUIRE(panels.has_value());
      index different = 0;
      for (index r = 0; r < panels->view().panel_count() * pl::panel_width; ++r)
        for (index c = 0; c < columns; ++c) different += panels->view().value(r, c) != (r < rows ? w(r, c) : 0.0f);
      CHECK(different == 0);
    }
  }
  const float bad[] = {0.0f, std::numeric_limits<float>::infinity()};
  CHECK(pl::FloatPanels::make({bad, 1, 2}).status().code() == pl::ErrorCode::not_finite);
}

TEST_CASE("quantized rows come from the caller's memory and are empty when it is too small") {
  for (index columns : {0, 1, 63, 64, 65, 4096}) {
    CHECK(pl::quantized_rows_stride(columns) >= columns);
    CHECK(pl::quantized_rows_stride(columns) % 128 == 64);
    for (bool asymmetric : {false, true}) {
      std::vector<std::byte> memory(pl::quantized_rows_bytes(3, columns, asymmetric) + 64);
      pl::Workspace workspace(memory);
      pl::Workspace small(std::span<std::byte>(memory).first(memory.size() - 128));
      const pl::QuantizedRowsSpan rows = pl::take_quantized_rows(workspace, 3, columns, asymmetric);
      CHECK(rows.codes != nullptr);
      CHECK((rows.zero_points != nullptr) == asymmetric);
      CHECK(rows.middle_rows(1, 2).codes == rows.codes + rows.stride);
      CHECK(rows.middle_rows(1, 2).scales == rows.scales + 1);
      CHECK(pl::take_quantized_rows(small, 3, columns, asymmetric).codes == nullptr);
    }
  }
}

}  // namespace
