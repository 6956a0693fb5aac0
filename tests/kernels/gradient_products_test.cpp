// The products that calibration's gradients are made of, block by block, with every operand against a page nobody may
// touch: what they read, what they write, and how large their blocks are.
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <planish/backend/enable_amx.hpp>
#include <planish/core/random.hpp>
#include <planish/kernels/cpu/float_product.hpp>
#include <planish/kernels/cpu/rounded_product.hpp>
#include <planish/kernels/cpu/split_code_product.hpp>
#include <planish/kernels/cpu/split_product.hpp>

#include "guarded_memory.hpp"

namespace pl = planish;
namespace cpu = planish::kernels::cpu;

namespace {

using guarded::Buffer;
using guarded::Edge;
using guarded::Matrix;
using pl::index;  // inside a namespace: the C library has a function of this name
using Floats = pl::MatrixView<const float>;

/// c: m × n, sums of k terms.
struct Sizes {
  index m, n, k;
};
constexpr Sizes all_sizes[] = {{1, 1, 1},     {13, 33, 17}, {32, 32, 32}, {33, 64, 31},  {64, 45, 65},
                               {70, 70, 33},  {24, 31, 2},  {12, 96, 64}, {96, 32, 96},  {49, 16, 5},
                               {13, 33, 383}, {48, 5, 4},   {37, 40, 48}, {19, 100, 129}};

/// Random rows × columns whose rows or columns are dense, apart from each other or not.
class Operand {
 public:
  Operand(index rows, index columns, bool dense_rows, Edge edge, pl::Random& random)
      : turned_(!dense_rows),
        stored_(
            dense_rows ? guarded::Layout{rows, columns, columns + 3, 1} : guarded::Layout{columns, rows, rows + 3, 1},
            edge, random) {}
  [[nodiscard]] Floats view() const {
    const Floats stored(stored_.view());
    return turned_ ? stored.transposed() : stored;
  }

 private:
  bool turned_;
  Matrix stored_;
};

/// k × n codes of 8 bits, zeros behind the last column, and a scale for each row.
class Codes {
 public:
  Codes(index k, index n, Edge edge, pl::Random& random)
      : n_(n), stride_((n + 63) / 64 * 64), codes_(k * stride_, edge), scales_(k, edge) {
    for (index r = 0; r < k; ++r) {
      scales_.data()[r] = static_cast<float>(0.01 + 0.01 * random.uniform());
      for (index c = 0; c < n; ++c)
        codes_.data()[r * stride_ + c] = static_cast<std::int8_t>(static_cast<int>(random.below(255)) - 127);
    }
  }
  [[nodiscard]] pl::QuantizedRowsView view() const {
    pl::QuantizedRowsView v;
    v.codes = codes_.data();
    v.rows = static_cast<index>(scales_.span().size());
    v.columns = n_;
    v.stride = stride_;
    v.scales = scales_.data();
    return v;
  }
  [[nodiscard]] double value(index k, index c) const {
    return static_cast<double>(codes_.data()[k * stride_ + c]) * static_cast<double>(scales_.data()[k]);
  }

 private:
  index n_, stride_;
  Buffer<std::int8_t> codes_;
  Buffer<float> scales_;
};

/// c = or += a · b within the digits that every one of these products keeps, and nothing between the rows of c is
/// written; c starts as NaN where nothing is added to it. `run(c, adds, strips, panels)` does some strips and panels.
template <class B, class Run>
void check_product(Floats a, index n, index strip_rows, Edge edge, const B& b, const Run& run) {
  const index m = a.rows(), strips = (m + strip_rows - 1) / strip_rows, panels = pl::panel_count(n);
  for (const bool adds : {false, true}) {
    CAPTURE(adds);
    const Matrix c({m, n, n + 5, 1}, edge);
    for (index r = 0; r < m; ++r)
      for (index j = 0; j < n; ++j) c.view()(r, j) = adds ? 0.5f : std::numeric_limits<float>::quiet_NaN();
    run(c.view(), adds, pl::Range{0, 1}, pl::Range{0, panels});
    run(c.view(), adds, pl::Range{1, strips}, pl::Range{0, 1});
    run(c.view(), adds, pl::Range{1, strips}, pl::Range{1, panels});
    index wrong = 0;
    for (index r = 0; r < m; ++r) {
      for (index j = 0; j < n; ++j) {
        double expected = adds ? 0.5 : 0.0;
        for (index k = 0; k < a.columns(); ++k) expected += static_cast<double>(a(r, k)) * b(k, j);
        wrong += std::fabs(static_cast<double>(c.view()(r, j)) - expected) < 0.05 ? 0 : 1;
      }
      for (index j = n; j < n + 5 && r + 1 < m; ++j) wrong += c.view().row(r)[j] == Matrix::between ? 0 : 1;
    }
    CHECK(wrong == 0);
  }
}

/// Calls `use(sizes, rows of a are dense, rows of b are, edge)`.
template <class Use>
void for_each_layout(const Use& use) {
  for (const Sizes& s : all_sizes)
    for (const Edge edge : guarded::edges)
      for (const int dense : {0, 1, 2, 3}) {
        INFO("m ", s.m, ", n ", s.n, ", k ", s.k, ", dense rows ", dense, ", edge ", static_cast<int>(edge));
        use(s, (dense & 1) != 0, (dense & 2) != 0, edge);
      }
}

TEST_CASE("products of floats, block by block, keep to their operands") {
  pl::Random random(1);
  for_each_layout([&](const Sizes& s, bool dense_a, bool dense_b, Edge edge) {
    const Operand a(s.m, s.k, dense_a, edge, random), b(s.n, s.k, dense_b, edge, random);
    const Buffer<float> strips(s.m * s.k, edge), scratch(pl::panel_width * s.k, edge);
    const index strip_rows = cpu::product_strip_rows, all = (s.m + strip_rows - 1) / strip_rows;
    cpu::pack_product_strips(a.view(), {all / 2, all}, strips.data());
    cpu::pack_product_strips(a.view(), {0, all / 2}, strips.data());
    check_product(
        a.view(), s.n, strip_rows, edge, [&](index k, index c) { return static_cast<double>(b.view()(c, k)); },
        [&](auto c, bool adds, pl::Range some, pl::Range panels) {
          cpu::multiply_float_block({strips.data(), b.view(), c, adds}, some, panels, scratch.span());
        });
  });
}

TEST_CASE("products of rounded floats and codes, block by block, keep to their operands") {
  pl::Random random(2);
  for_each_layout([&](const Sizes& s, bool dense_a, bool, Edge edge) {
    const Operand a(s.m, s.k, dense_a, edge, random);
    const Codes b(s.k, s.n, edge, random);
    const index pairs = (s.k + 1) / 2, strip_rows = cpu::rounded_strip_rows;
    const Buffer<std::int32_t> strips(s.m * pairs, edge), scratch(pl::panel_width * pairs, edge);
    const Buffer<float> scales(s.m, edge);
    for (index first = 0; first < s.m; first += strip_rows)
      cpu::pack_rounded_strip(a.view(), first / strip_rows, b.view().scales, strips.data() + first * pairs,
                              scales.data() + first);
    check_product(
        a.view(), s.n, strip_rows, edge, [&](index k, index c) { return b.value(k, c); },
        [&](auto c, bool adds, pl::Range some, pl::Range panels) {
          cpu::multiply_rounded_block({strips.data(), scales.data(), b.view(), c, adds}, some, panels, scratch.span());
        });
  });
}

#if defined(PLANISH_HAS_AMX_BF16)
TEST_CASE("products of split floats, block by block, keep to their operands") {
  if (!pl::enable_amx()) return;
  pl::Random random(3);
  for_each_layout([&](const Sizes& s, bool dense_a, bool dense_b, Edge edge) {
    const Operand a(s.m, s.k, dense_a, edge, random), b(s.n, s.k, dense_b, edge, random);
    const index size = cpu::split_packed_size(s.k), all = (s.m + 31) / 32;
    CHECK(size == (s.k + 31) / 32 * 1024);
    const Buffer<float> strips(all * size, edge), scratch(size, edge);
    for (index strip = 0; strip < all; ++strip)
      cpu::pack_split<true>(a.view(), strip * 32, strips.data() + strip * size);
    check_product(
        a.view(), s.n, 32, edge, [&](index k, index c) { return static_cast<double>(b.view()(c, k)); },
        [&](auto c, bool adds, pl::Range some, pl::Range panels) {
          cpu::multiply_split_block({strips.data(), b.view(), c, adds}, some, panels, scratch.span());
        });
  });
}

TEST_CASE("products of split floats and codes, block by block, keep to their operands") {
  if (!pl::enable_amx()) return;
  pl::Random random(4);
  for_each_layout([&](const Sizes& s, bool dense_a, bool, Edge edge) {
    const Operand a(s.m, s.k, dense_a, edge, random);
    const Codes b(s.k, s.n, edge, random);
    const index size = cpu::split_packed_size(s.k), all = (s.m + 31) / 32;
    const Buffer<float> strips(all * size, edge), scratch(cpu::code_tiles_size(s.k), edge);
    for (index strip = 0; strip < all; ++strip)
      cpu::pack_split<true>(a.view(), strip * 32, strips.data() + strip * size, b.view().scales);
    check_product(
        a.view(), s.n, 32, edge, [&](index k, index c) { return b.value(k, c); },
        [&](auto c, bool adds, pl::Range some, pl::Range panels) {
          cpu::multiply_split_codes_block({strips.data(), b.view(), c, adds}, some, panels, scratch.span());
        });
  });
}
#endif

TEST_CASE("a block of strips has more than 512 rows, and not one strip more than that takes") {
  CHECK(cpu::product_block_strips * cpu::product_strip_rows > 512);
  CHECK((cpu::product_block_strips - 1) * cpu::product_strip_rows <= 512);
  CHECK(cpu::rounded_block_strips * cpu::rounded_strip_rows > 512);
  CHECK((cpu::rounded_block_strips - 1) * cpu::rounded_strip_rows <= 512);
}

TEST_CASE("scratch of a worker is a panel of the longest run of terms") {
  CHECK(cpu::product_scratch_size == pl::panel_width * cpu::product_chunk);
  CHECK(2 * cpu::rounded_scratch_size == pl::panel_width * cpu::rounded_chunk);
}

TEST_CASE("pairs of terms: half as many as terms, rounded up, the first in the lower half of a word") {
  for (index terms = 0; terms < 9; ++terms) CHECK(cpu::rounded_pairs(terms) == terms / 2 + terms % 2);
  CHECK(cpu::term_pair(-1, 2) == 0x2ffff);
  CHECK(cpu::term_pair(3, -1) == static_cast<std::int32_t>(0xffff0003u));
}

TEST_CASE("rows from 1e-30 on have a scale; the largest float still is a number, infinity and NaN are none") {
  const auto of = [](float largest) { return cpu::RowRounding::of(std::bit_cast<std::int32_t>(largest)); };
  CHECK(of(1e-30f).scale == 1e-30f / 32767.0f);
  CHECK(of(1e-30f).factor == 32767.0f / 1e-30f);
  CHECK(of(std::nextafter(1e-30f, 0.0f)).scale == 0.0f);
  CHECK(of(std::nextafter(1e-30f, 0.0f)).factor == 0.0f);
  constexpr float most = std::numeric_limits<float>::max();
  CHECK(of(most).scale == most / 32767.0f);
  CHECK(of(most).factor == 32767.0f / most);
  for (const float none : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    CHECK(std::isnan(of(none).scale));
    CHECK(of(none).factor == 0.0f);
  }
}

}  // namespace
