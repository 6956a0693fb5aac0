// Where packed terms and quantized rows lie, how much room they take, and what of weights is refused at the very edge.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <planish/packing/bfloat16_factors.hpp>
#include <planish/packing/codes.hpp>
#include <planish/packing/float_panels.hpp>
#include <planish/packing/packed_weights.hpp>
#include <planish/packing/quantized_rows.hpp>
#include <planish/packing/row_quantizer.hpp>
#include <planish/packing/rows_to_codes.hpp>

#include "../kernels/samples.hpp"

namespace pl = planish;
using pl::CodeStorage;
using pl::ErrorCode;
using pl::PackedWeights;
using pl::PackedWeightsView;
using pl::PairTiles;
using pl::Symmetry;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

TEST_CASE("tiles of rows are as few as 16 lines allow, of the least even height that holds all") {
  index wrong = 0;
  for (index n = 1; n <= 300; ++n) {
    index tiles = 1, height = 2;
    while (tiles * 16 < n) ++tiles;
    while (tiles * height < n) height += 2;
    wrong += PairTiles::row_tiles(n) != tiles || PairTiles::column_tiles(n) != tiles || PairTiles::height(n) != height;
    index blocks = 1;
    while (blocks * 32 < n) ++blocks;
    wrong += PairTiles::blocks(n) != blocks;
    for (const index other : {1, 16, 33, 100}) {
      const PairTiles rows{n, other}, columns{other, n};
      wrong += rows.left_lines() != tiles * height * blocks;
      wrong += columns.right_lines() != blocks * tiles * 16 || columns.stride() != tiles * 16;
    }
  }
  CHECK(wrong == 0);
}

float term_of(const pl::PairLine& line, index term) {
  const std::uint32_t word = line.words[term / 2];
  return pl::BFloat16{static_cast<std::uint16_t>(term % 2 == 0 ? word & 0xffffu : word >> 16)}.to_float();
}

TEST_CASE("factors of bfloat16: every term in its place of the rows and of the tiles, zeros in all others") {
  for (const index n : {1, 2, 3, 15, 16, 17, 31, 32, 33, 48, 50, 65, 96}) {
    CAPTURE(n);
    pl::Random random(static_cast<std::uint64_t>(n));
    std::vector<float> values = samples::floats(n * n, random);
    for (float& value : values) value = value == 0.0f ? 1.0f : value;
    const auto term = [&](index row, index column) {
      return row < n && column < n ? pl::bfloat16_term(values[static_cast<std::size_t>(row * n + column)]) : 0.0f;
    };
    index wrong = 0;
    const pl::Bfloat16Factors lefts(n, 7, values.data(), nullptr);
    const pl::Bfloat16FactorsView left = lefts.view();
    CHECK(left.left != nullptr);
    CHECK(left.right == nullptr);
    for (index i = 0; i < n * n; ++i) wrong += left.left[i] != term(i / n, i % n);
    const index height = PairTiles::height(n), blocks = PairTiles::blocks(n);
    for (index tile = 0; tile < PairTiles::row_tiles(n); ++tile)  // of the transposed
      for (index block = 0; block < blocks; ++block)
        for (index line = 0; line < height; ++line)
          for (index k = 0; k < 32; ++k)
            wrong += term_of(left.left_tiles[(tile * blocks + block) * height + line], k) !=
                     term(block * 32 + k, tile * height + line);
    CHECK(wrong == 0);

    const pl::Bfloat16Factors rights(7, n, nullptr, values.data());
    const pl::Bfloat16FactorsView right = rights.view();
    CHECK(right.left == nullptr);
    CHECK(right.right != nullptr);
    const index columns = PairTiles::column_tiles(n), stride = columns * 16;
    for (index i = 0; i < n * stride; ++i) wrong += right.right[i] != term(i / stride, i % stride);
    for (index block = 0; block < blocks; ++block)
      for (index tile = 0; tile < columns; ++tile)
        for (index line = 0; line < 16; ++line)
          for (index k = 0; k < 32; ++k)  // pairs of rows, column after column
            wrong += term_of(right.right_tiles[(block * columns + tile) * 16 + line], k) !=
                     term(block * 32 + 2 * line + k % 2, tile * 16 + k / 2);
    CHECK(wrong == 0);
  }
}

TEST_CASE("rows that lie behind those on their way to codes may be asked for, and none further") {
  std::vector<float> values(70);
  for (const index behind : {0, 1, 3}) {
    pl::RowsToCodes job;
    job.x = {values.data(), 2, 5, 10};
    job.rows_behind = behind;
    for (index r = 0; r < 7; ++r) CHECK(job.row_or_null(r) == (r < 2 + behind ? values.data() + 10 * r : nullptr));
  }
}

TEST_CASE("asymmetric codes lose half their range when they are stored, symmetric ones nothing") {
  for (int bits = 2; bits <= 8; ++bits) {
    int half = 1;
    for (int bit = 1; bit < bits; ++bit) half *= 2;
    pl::RowQuantizer q{.bits = bits, .symmetry = Symmetry::asymmetric};
    CHECK(q.storage_offset() == half);
    CHECK_FALSE(q.is_static());
    q.static_scale = 0.25f;
    q.static_zero_point = 3;
    CHECK(q.is_static());
    CHECK(q.affine({-1.0f, 5.0f}).zero_point == 3);
    q.symmetry = Symmetry::symmetric;
    CHECK(q.storage_offset() == 0);
    CHECK(q.affine({-1.0f, 5.0f}).zero_point == 0);
    CHECK(q.affine({-1.0f, 5.0f}).scale == 0.25f);
  }
}

TEST_CASE("quantized rows lie an odd number of lines apart, the least that holds them") {
  index wrong = 0;
  for (index columns = 0; columns <= 1000; ++columns) {
    index lines = 1;
    while (lines * 64 < columns) lines += 2;
    wrong += pl::quantized_rows_stride(columns) != lines * 64;
  }
  CHECK(wrong == 0);
}

TEST_CASE("quantized rows take all of the bytes they ask for, and no byte less is enough") {
  alignas(64) static std::byte memory[1 << 16];
  for (const index rows : {0, 1, 3, 16, 17})
    for (const index columns : {0, 1, 64, 65, 700})
      for (const bool asymmetric : {false, true}) {
        const std::size_t bytes = pl::quantized_rows_bytes(rows, columns, asymmetric);
        REQUIRE(bytes <= sizeof memory);
        pl::Workspace enough(std::span<std::byte>(memory, bytes));
        const pl::QuantizedRowsSpan span = pl::take_quantized_rows(enough, rows, columns, asymmetric);
        CHECK(enough.size() == 0);
        if (rows == 0) continue;
        CHECK(span.codes != nullptr);
        CHECK(span.scales != nullptr);
        CHECK(span.sums != nullptr);
        CHECK((span.zero_points != nullptr) == asymmetric);
        pl::Workspace less(std::span<std::byte>(memory, bytes - 1));
        CHECK(pl::take_quantized_rows(less, rows, columns, asymmetric).codes == nullptr);

        const auto check_middle = [&](const auto& all, index first, index count) {
          const auto some = all.middle_rows(first, count);
          CHECK(some.rows == count);
          CHECK(some.columns == columns);
          CHECK(some.stride == all.stride);
          for (index r = 0; r < count; ++r) CHECK(some.row(r) == all.row(first + r));
          CHECK(some.scales == all.scales + first);
          CHECK(some.sums == all.sums + first);
          CHECK(some.zero_points == (asymmetric ? all.zero_points + first : nullptr));
        };
        for (index first = 0; first < rows; ++first) {
          check_middle(span, first, rows - first);
          check_middle(pl::QuantizedRowsView(span), first, rows - first);
        }
      }
}

TEST_CASE("the longest run of weights under one scale is the longest whose sums stay inside int32") {
  constexpr std::int64_t limit = std::numeric_limits<std::int32_t>::max();
  for (int bits = 2; bits <= 8; ++bits)
    for (const Symmetry symmetry : {Symmetry::symmetric, Symmetry::asymmetric}) {
      std::int64_t levels = 1;
      for (int bit = 0; bit < bits; ++bit) levels *= 2;
      const std::int64_t greatest = 255 * (symmetry == Symmetry::symmetric ? levels / 2 : levels - 1);
      const index most = pl::most_group_columns(bits, symmetry);
      CHECK(most * greatest <= limit);
      CHECK((most + 1) * greatest > limit);
    }
  const index most = pl::most_group_columns(8, Symmetry::asymmetric);
  pl::Random random(1);
  const auto make = [&](index columns, index group) {
    return PackedWeights::make(samples::codes(1, columns, 8, Symmetry::asymmetric, group, random).view()).status();
  };
  CHECK(make(most, 0).ok());
  CHECK(make(most + 1, 0).code() == ErrorCode::unsupported);
  CHECK(make(most + 1, most).ok());
  CHECK(
      PackedWeights::make(samples::codes(1, pl::most_columns, 2, Symmetry::symmetric, 64, random).view()).has_value());
}

TEST_CASE("weights of negative sizes are refused, each size on its own") {
  const auto codes = pl::Codes::make(2, 4, 4, Symmetry::symmetric, 2);
  REQUIRE(codes.has_value());
  pl::CodesView view = codes->view();
  view.rows = -1;
  CHECK(PackedWeights::make(view).status().code() == ErrorCode::invalid_argument);
  view = codes->view();
  view.columns = -1;
  CHECK(PackedWeights::make(view).status().code() == ErrorCode::invalid_argument);
  view = codes->view();
  view.group_size = -1;
  CHECK(PackedWeights::make(view).status().code() == ErrorCode::invalid_argument);
  CHECK(pl::Codes::make(-1, 4, 4, Symmetry::symmetric, 2).status().code() == ErrorCode::invalid_argument);
  CHECK(pl::Codes::make(2, -1, 4, Symmetry::symmetric, 2).status().code() == ErrorCode::invalid_argument);
  CHECK(pl::Codes::make(2, 4, 4, Symmetry::symmetric, -1).status().code() == ErrorCode::invalid_argument);
}

TEST_CASE("no weights at all need neither zero points nor pointers") {
  for (const index rows : {0, 3})
    for (const index columns : {0, 4}) {
      const auto codes = pl::Codes::make(rows, columns, 4, Symmetry::asymmetric, 2);
      REQUIRE(codes.has_value());
      CHECK(codes->groups() == (columns == 0 ? 0 : 2));
      pl::CodesView view = codes->view();
      view.zero_points = nullptr;
      CHECK(PackedWeights::make(view).has_value() == (rows == 0 || columns == 0));
      PackedWeightsView image;
      image.storage = CodeStorage::nibble;
      image.bits = 4;
      image.rows = rows;
      image.columns = columns;
      image.group_size = 2;
      CHECK(PackedWeights::borrow(image).has_value() == (rows == 0 || columns == 0));
    }
}

TEST_CASE("borrowed weights need each of their pointers, and zero points that a stored value means") {
  pl::Random random(2);
  for (const int bits : {4, 8}) {
    const auto packed = PackedWeights::make(samples::codes(33, 9, bits, Symmetry::asymmetric, 4, random).view());
    REQUIRE(packed.has_value());
    const PackedWeightsView whole = packed->view();
    CHECK(PackedWeights::borrow(whole).has_value());
    PackedWeightsView less[4] = {whole, whole, whole, whole};
    less[0].panels = nullptr;
    less[1].scales = nullptr;
    less[2].zeros = nullptr;
    less[3].sums = nullptr;
    for (const PackedWeightsView& view : less)
      CHECK(PackedWeights::borrow(view).status().code() == ErrorCode::invalid_argument);
    const index side = whole.panel_count() * whole.groups() * 32;
    std::vector<std::int32_t> zeros(whole.zeros, whole.zeros + side);
    PackedWeightsView view = whole;
    view.zeros = zeros.data();
    const std::int32_t values = bits == 4 ? 16 : 256;
    for (const std::int32_t zero : {-1, 0, values - 1, values}) {
      zeros.back() = zero;
      CHECK(PackedWeights::borrow(view).has_value() == (zero >= 0 && zero < values));
    }
    zeros.back() = 0;
    std::vector<float> scales(whole.scales, whole.scales + side);
    scales.back() = std::numeric_limits<float>::infinity();
    view.scales = scales.data();
    CHECK(PackedWeights::borrow(view).status().code() == ErrorCode::not_finite);
  }
}

TEST_CASE("codes and zero points are refused just beyond their range, and taken at its ends") {
  for (int bits = 2; bits <= 8; ++bits)
    for (const Symmetry symmetry : {Symmetry::symmetric, Symmetry::asymmetric}) {
      auto codes = pl::Codes::make(1, 3, bits, symmetry);
      REQUIRE(codes.has_value());
      const pl::CodeRange range = pl::code_range(bits, symmetry);
      const auto takes = [&](int code) {
        codes->codes()[1] = static_cast<std::uint8_t>(code);
        return PackedWeights::make(codes->view()).has_value();
      };
      CHECK(takes(range.lowest));
      CHECK(takes(range.highest));
      if (bits == 8) continue;  // a byte holds no others
      CHECK_FALSE(takes(range.lowest - 1));
      CHECK_FALSE(takes(range.highest + 1));
      if (symmetry == Symmetry::symmetric) continue;
      codes->codes()[1] = 0;
      codes->zero_points()[0] = static_cast<std::uint8_t>(range.highest);
      CHECK(PackedWeights::make(codes->view()).has_value());
      codes->zero_points()[0] = static_cast<std::uint8_t>(range.highest + 1);
      CHECK_FALSE(PackedWeights::make(codes->view()).has_value());
    }
}

TEST_CASE("packed weights count their panels, scales, zeros and sums; float panels their floats") {
  pl::Random random(3);
  for (const int bits : {4, 8})
    for (const index rows : {1, 32, 33})
      for (const index columns : {1, 4, 9, 64})
        for (const index group : {index{0}, index{3}}) {
          const auto packed =
              PackedWeights::make(samples::codes(rows, columns, bits, Symmetry::symmetric, group, random).view());
          REQUIRE(packed.has_value());
          const index panels = (rows + 31) / 32, lines = (columns + 3) / 4;
          const index groups = group == 0 || group > columns ? 1 : (columns + group - 1) / group;
          CHECK(packed->size_bytes() ==
                static_cast<std::size_t>(panels * (lines * (bits == 4 ? 64 : 128) + groups * 32 * 12)));
        }
}

}  // namespace
