// Products in blocks of split bfloat16 and of rounded rows: close to the product in double, over sizes that end within
// tiles, strips and steps, with every operand against a page that nobody may touch.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/rounded_product.hpp>
#include <planish/kernels/cpu/split_code_product.hpp>
#include <planish/kernels/cpu/split_product.hpp>

#include "guarded_memory.hpp"
#include "kernels/machine_tiles.hpp"
#include "samples.hpp"

namespace pl = planish;
namespace cpu = planish::kernels::cpu;
using guarded::Buffer;
using guarded::Edge;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

/// rows × columns values of which the rows or the columns are dense, the others some floats apart.
struct SplitOperand {
  index rows, columns;
  bool across;
  index apart;
  Buffer<float> memory;

  SplitOperand(index r, index c, Edge edge, pl::Random& random)
      : rows(r),
        columns(c),
        across(random.below(2) == 0),
        apart((across ? r : c) + static_cast<index>(random.below(3))),
        memory(((across ? c : r) - 1) * apart + (across ? r : c), edge) {
    for (float& value : memory.span()) value = static_cast<float>(random.normal());
  }
  [[nodiscard]] pl::MatrixView<float> view() const {
    return {memory.data(), rows, columns, across ? 1 : apart, across ? apart : 1};
  }
};

/// Symmetric codes whose rows hold whole panels, each row with a scale.
struct TermCodes {
  index terms, columns, stride;
  Buffer<std::int8_t> codes;
  std::vector<float> scales;
  std::vector<std::int32_t> sums;

  TermCodes(index k, index n, Edge edge, pl::Random& random)
      : terms(k),
        columns(n),
        stride(pl::quantized_rows_stride(n)),
        codes(k * stride, edge),
        scales(samples::floats(k, random)),
        sums(static_cast<std::size_t>(k)) {
    for (index t = 0; t < terms; ++t)
      for (index c = 0; c < columns; ++c)
        codes.data()[t * stride + c] = static_cast<std::int8_t>(static_cast<int>(random.below(256)) - 128);
  }
  [[nodiscard]] pl::QuantizedRowsView view() const {
    return {codes.data(), terms, columns, stride, scales.data(), sums.data(), nullptr};
  }
};

/// How far c is from before + Σ a(r, k) · b(k, n), in parts of Σ |a · b|; 1 where a float between rows is another.
template <class B>
double error(const std::vector<float>& before, const Buffer<float>& c, index c_row, bool adds,
             pl::MatrixView<const float> a, index columns, B&& b) {
  double worst = 0.0;
  for (index i = 0; i < static_cast<index>(before.size()); ++i) {
    const float was = before[static_cast<std::size_t>(i)];
    const index r = i / c_row, n = i % c_row;
    if (n >= columns) {
      worst = std::max(worst, c.data()[i] == was ? 0.0 : 1.0);
      continue;
    }
    double sum = adds ? was : 0.0, size = std::abs(sum) + 1e-3;
    for (index k = 0; k < a.columns(); ++k) {
      sum += double{a(r, k)} * b(k, n);
      size += std::abs(double{a(r, k)} * b(k, n));
    }
    const double off = std::abs(sum - c.data()[i]) / size;
    worst = std::max(worst, std::isnan(off) ? 1.0 : off);
  }
  return worst;
}

struct ProductSizes {
  index rows, terms, columns;
};

std::vector<ProductSizes> sizes() {
  std::vector<ProductSizes> all;
  for (const index rows : {1, 12, 13, 15, 16, 17, 32, 33, 48, 70})
    for (const index columns : {1, 8, 16, 17, 31, 32, 33, 64, 75})
      all.push_back({rows, 1 + (rows * 37 + columns * 11) % 100, columns});
  for (const index terms : {1, 2, 16, 17, 31, 32, 33, 64, 65, 511, 512}) all.push_back({32, terms, 32});
  return all;
}

TEST_CASE("products of rounded rows and codes, one or two runs of terms") {
  pl::Random random(1);
  double worst = 0.0;
  for (const ProductSizes& s : sizes())
    for (const Edge edge : guarded::edges) {
      const SplitOperand a(s.rows, s.terms, edge, random);
      const TermCodes b(s.terms, s.columns, edge, random);
      const bool adds = random.below(2) == 0;
      const index c_row = s.columns + static_cast<index>(random.below(3));
      const Buffer<float> c((s.rows - 1) * c_row + s.columns, edge);
      for (float& value : c.span()) value = static_cast<float>(random.normal());
      const std::vector<float> before(c.span().begin(), c.span().end());
      const index pairs = (s.terms + 1) / 2, count = (s.rows + cpu::rounded_strip_rows - 1) / cpu::rounded_strip_rows;
      const Buffer<std::int32_t> strips(s.rows * pairs, edge), scratch(pairs * 32, edge);
      const Buffer<float> scales(s.rows, edge), factors(std::span<const float>(b.scales), edge);
      for (index strip = 0; strip < count; ++strip)
        cpu::pack_rounded_strip(a.view(), strip, factors.data(),
                                strips.data() + strip * cpu::rounded_strip_rows * pairs,
                                scales.data() + strip * cpu::rounded_strip_rows);
      for (index r = 0; r < s.rows; ++r) {
        float largest = 0.0f;
        for (index k = 0; k < s.terms; ++k)
          largest = std::max(largest, std::abs(a.view()(r, k) * b.scales[static_cast<std::size_t>(k)]));
        CHECK(scales.data()[r] == cpu::RowRounding::of(std::bit_cast<std::int32_t>(largest)).scale);
      }
      const index half = pl::panel_count(s.columns) / 2;
      const cpu::RoundedProduct product{
          strips.data(), scales.data(), b.view(), {c.data(), s.rows, s.columns, c_row}, adds};
      cpu::multiply_rounded_block(product, {0, count}, {0, half}, scratch.span());
      cpu::multiply_rounded_block(product, {0, count}, {half, pl::panel_count(s.columns)}, scratch.span());
      worst = std::max(worst, error(before, c, c_row, adds, a.view(), s.columns, [&](index k, index n) {
                         return static_cast<double>(b.view().row(k)[n]) * b.scales[static_cast<std::size_t>(k)];
                       }));
    }
  CHECK(worst < 1e-3);
}

#if defined(PLANISH_HAS_AMX_BF16)
/// 64-byte lines, as tiles want them, with the last against the forbidden page.
Buffer<float> lines(index floats) { return {(floats + 15) / 16 * 16, Edge::back}; }

TEST_CASE("products of split floats, or of split floats and codes, in blocks of 32") {
  if (!machine_has_tiles()) return;
  pl::Random random(2);
  double worst = 0.0, worst_of_codes = 0.0;
  for (const ProductSizes& s : sizes())
    for (const Edge edge : guarded::edges) {
      const SplitOperand a(s.rows, s.terms, edge, random), b(s.columns, s.terms, edge, random);
      const TermCodes codes(s.terms, s.columns, edge, random);
      const bool adds = random.below(2) == 0;
      const index c_row = s.columns + static_cast<index>(random.below(3));
      const Buffer<float> c((s.rows - 1) * c_row + s.columns, edge), of_codes(c.span(), edge);
      for (index i = 0; i < static_cast<index>(c.span().size()); ++i)
        c.data()[i] = of_codes.data()[i] = static_cast<float>(random.normal());
      const std::vector<float> before(c.span().begin(), c.span().end());
      const index size = cpu::split_packed_size(s.terms), count = (s.rows + 31) / 32;
      CHECK(size == (s.terms + 31) / 32 * 1024);
      CHECK(cpu::code_tiles_size(s.terms) == size / 2);
      const Buffer<float> strips = lines(count * size), scaled = lines(count * size), scratch = lines(size),
                          code_scratch = lines(cpu::code_tiles_size(s.terms));
      const Buffer<float> factors(std::span<const float>(codes.scales), edge);
      for (index strip = 0; strip < count; ++strip) {
        cpu::pack_split<true>(a.view(), 32 * strip, strips.data() + strip * size);
        cpu::pack_split<true>(a.view(), 32 * strip, scaled.data() + strip * size, factors.data());
      }
      const index panels = pl::panel_count(s.columns), half = panels / 2;
      const cpu::SplitProduct product{strips.data(), b.view(), {c.data(), s.rows, s.columns, c_row}, adds};
      cpu::multiply_split_block(product, {0, count}, {0, half}, scratch.span());
      cpu::multiply_split_block(product, {0, count}, {half, panels}, scratch.span());
      worst = std::max(worst, error(before, c, c_row, adds, a.view(), s.columns,
                                    [&](index k, index n) { return double{b.view()(n, k)}; }));
      const cpu::SplitCodeProduct by_codes{
          scaled.data(), codes.view(), {of_codes.data(), s.rows, s.columns, c_row}, adds};
      cpu::multiply_split_codes_block(by_codes, {0, count}, {0, half}, code_scratch.span());
      cpu::multiply_split_codes_block(by_codes, {0, count}, {half, panels}, code_scratch.span());
      worst_of_codes =
          std::max(worst_of_codes, error(before, of_codes, c_row, adds, a.view(), s.columns, [&](index k, index n) {
                     return static_cast<double>(codes.view().row(k)[n]) * codes.scales[static_cast<std::size_t>(k)];
                   }));
    }
  CHECK(worst < 1.0 / 32768);
  CHECK(worst_of_codes < 1.0 / 32768);
}
#endif

}  // namespace
