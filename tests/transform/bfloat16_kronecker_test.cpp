// Kronecker transforms with products of bfloat16: one formula on every backend, a bound on what it loses, the laws.
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <planish/backend/enable_amx.hpp>
#include <planish/kernels/cpu/kronecker_bfloat16.hpp>
#include <planish/kernels/reference/quantize_rows.hpp>
#include <planish/transform/bfloat16_kronecker.hpp>
#include <planish/transform/kronecker.hpp>
#include <planish/transform/rotation.hpp>

#include "laws/transform_laws.hpp"

namespace {

using laws::Matrix;
namespace kernels = planish::kernels;
namespace pl = planish;

/// Calls `use()` with matrix tiles where the machine has them, and without.
template <class Use>
void with_and_without_tiles(const Use& use) {
  for (const bool tiles : {true, false}) {
    if (tiles && !pl::enable_amx()) continue;
    INFO("tiles ", tiles);
    use();
    pl::disable_amx();
  }
}

/// Any finite float: exponents from the smallest subnormal number to 2^60, zeros of both signs.
Matrix<float> of_all_sizes(pl::index rows, pl::index columns, std::uint64_t seed) {
  Matrix<float> x = Matrix<float>::random(rows, columns, seed);
  pl::Random random(seed + 1);
  for (pl::index r = 0; r < rows; ++r)
    for (pl::index c = 0; c < columns; ++c) {
      const auto kind = random.below(8);
      if (kind == 0) x(r, c) = random.sign() * 0.0f;
      if (kind > 4) x(r, c) = std::ldexp(x(r, c), static_cast<int>(random.below(210)) - 150);
    }
  return x;
}

using Sizes = std::pair<pl::index, pl::index>;

/// Awkward and common sizes, primes among them, and some that `seed` draws.
std::vector<Sizes> sizes_to_try(std::uint64_t seed) {
  std::vector<Sizes> all{{1, 1},   {1, 7},   {7, 1},   {2, 3},    {7, 9},   {8, 8},    {5, 13},  {13, 5},   {9, 64},
                         {64, 9},  {24, 24}, {28, 32}, {32, 48},  {65, 63}, {12, 129}, {7, 40},  {13, 88},  {20, 144},
                         {40, 80}, {2, 300}, {31, 33}, {17, 101}, {97, 5},  {64, 64},  {37, 41}, {112, 128}};
  pl::Random random(seed);
  for (int i = 0; i < 8; ++i)
    all.emplace_back(static_cast<pl::index>(1 + random.below(70)), static_cast<pl::index>(1 + random.below(90)));
  return all;
}

/// Calls `use(factors, n)` with both factors, with the left one and with the right one.
template <class Use>
void for_each_kind(const Sizes& sizes, const Use& use) {
  const pl::index n1 = sizes.first, n2 = sizes.second;
  const auto left = of_all_sizes(n1, n1, 1), right = Matrix<float>::random(n2, n2, 2);
  for (const int given : {1, 2, 3}) {
    INFO("n1 ", n1, ", n2 ", n2, ", factors ", given);
    use(pl::Bfloat16Factors(n1, n2, given != 2 ? left.values().data() : nullptr,
                            given != 1 ? right.values().data() : nullptr),
        n1 * n2);
  }
}

std::size_t scratch_size(const pl::Bfloat16FactorsView& f) {
  return static_cast<std::size_t>(kernels::reference::kronecker_bfloat16_scratch_size(f.n1, f.n2));
}

/// Equal, any NaN being equal to any other.
bool same(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b); }

}  // namespace

TEST_CASE("bfloat16_term rounds to nearest even, and what is small to zero") {
  CHECK(pl::bfloat16_term(1.0f + 0x1p-8f) == 1.0f);
  CHECK(pl::bfloat16_term(1.0f + 0x3p-8f) == 1.0f + 0x1p-6f);
  CHECK(pl::bfloat16_term(-1.0f - 0x1.01p-8f) == -1.0f - 0x1p-7f);
  CHECK(pl::bfloat16_term(0x1p-56f) == 0x1p-56f);
  CHECK(pl::bfloat16_term(std::nextafter(0x1p-56f, 0.0f)) == 0x1p-56f);  // rounded first
  CHECK(pl::bfloat16_term(0x1.fcp-57f) == 0.0f);
  CHECK(pl::bfloat16_term(-0x1p-149f) == 0.0f);
  CHECK(pl::bfloat16_term(std::numeric_limits<float>::max()) == std::numeric_limits<float>::infinity());
  CHECK(std::isnan(pl::bfloat16_term(std::numeric_limits<float>::quiet_NaN())));
}

TEST_CASE("kronecker_bfloat16_rows: the CPU equals the twin to the bit, with and without tiles") {
  for (const Sizes& sizes : sizes_to_try(11))
    for_each_kind(sizes, [&](const pl::Bfloat16Factors& made, pl::index n) {
      const pl::Bfloat16FactorsView factors = made.view();
      for (const pl::index rows : {0, 1, 2, 3, 5, 17})
        for (const pl::index beside : {0, 3}) {
          INFO("rows ", rows, ", beside ", beside);
          auto x = of_all_sizes(rows, n + beside, static_cast<std::uint64_t>(n + rows));
          if (rows > 2) x(1, n / 2) = std::numeric_limits<float>::quiet_NaN();
          if (rows > 3) x(3, n - 1) = std::numeric_limits<float>::infinity();
          constexpr float nan = std::numeric_limits<float>::quiet_NaN();
          std::vector<float> scratch(scratch_size(factors) + 65, nan);
          const std::span<float> odd = std::span<float>(scratch).subspan(1, scratch_size(factors));
          Matrix<float> expected(rows, n + beside, 7.0f);
          kernels::reference::kronecker_bfloat16_rows(x.view().middle_columns(0, n), factors,
                                                      expected.view().middle_columns(0, n), odd);
          with_and_without_tiles([&] {
            std::fill(scratch.begin(), scratch.end(), nan);
            for (std::size_t i = odd.size() + 1; i < scratch.size(); ++i) scratch[i] = 42.0f;
            Matrix<float> actual(rows, n + beside, 7.0f);
            kernels::cpu::kronecker_bfloat16_rows(x.view().middle_columns(0, n), factors,
                                                  actual.view().middle_columns(0, n), odd);
            pl::index different = 0;
            for (std::size_t i = 0; i < actual.values().size(); ++i)
              different += same(actual.values()[i], expected.values()[i]) ? 0 : 1;
            CHECK(different == 0);
            for (std::size_t i = odd.size() + 1; i < scratch.size(); ++i) REQUIRE(scratch[i] == 42.0f);
          });
        }
    });
}

TEST_CASE("kronecker_bfloat16_codes: transformed and quantized at once as by the twin one after the other") {
  for (const Sizes& sizes : sizes_to_try(12))
    for_each_kind(sizes, [&](const pl::Bfloat16Factors& made, pl::index n) {
      const pl::Bfloat16FactorsView factors = made.view();
      for (const pl::index rows : {0, 1, 2, 3, 8, 17})
        for (const pl::RowQuantizer& q : {pl::RowQuantizer{}, pl::RowQuantizer{.bits = 4, .clip = {0.8f, 0.6f}},
                                          pl::RowQuantizer{.symmetry = pl::Symmetry::asymmetric}}) {
          INFO("rows ", rows, ", bits ", q.bits);
          const bool asymmetric = q.symmetry == pl::Symmetry::asymmetric;
          auto x = Matrix<float>::random(rows, n, static_cast<std::uint64_t>(n + rows));
          constexpr float nan = std::numeric_limits<float>::quiet_NaN();
          if (rows > 2 && q.bits == 8) x(rows / 2, n / 3) = nan;
          if (rows > 1 && q.bits == 4) x(0, n - 1) = x(rows - 1, n / 2) = nan;
          std::vector<float> scratch(scratch_size(factors));
          Matrix<float> y(rows, n), room(rows, n);
          const auto codes_in = [&](std::vector<std::byte>& memory) {
            memory.assign(pl::quantized_rows_bytes(rows, n, asymmetric) + pl::buffer_alignment, std::byte{0x55});
            pl::Workspace workspace(memory);
            return pl::take_quantized_rows(workspace, rows, n, asymmetric);
          };
          std::vector<std::byte> expected_memory, memory;
          const pl::QuantizedRowsSpan expected = codes_in(expected_memory);
          kernels::reference::kronecker_bfloat16_rows(std::as_const(x).view(), factors, y.view(), scratch);
          const pl::index bad = kernels::reference::quantize_rows(std::as_const(y).view(), q, expected);
          with_and_without_tiles([&] {
            const pl::QuantizedRowsSpan out = codes_in(memory);
            CHECK(kernels::cpu::kronecker_bfloat16_codes({std::as_const(x).view(), 0, q, out, room.view(), scratch},
                                                         factors) == bad);
            pl::index different = 0;
            for (pl::index r = 0; r < rows; ++r) {
              different += std::memcmp(out.row(r), expected.row(r), static_cast<std::size_t>(out.stride)) != 0;
              different += out.sums[r] != expected.sums[r];
              different += !same(out.scales[r], expected.scales[r]);
              if (asymmetric) different += out.zero_points[r] != expected.zero_points[r];
            }
            CHECK(different == 0);
          });
        }
    });
}

TEST_CASE("what products of bfloat16 lose stays within the bound of docs/numbers.md") {
  for (const auto& [n1, n2] : std::vector<Sizes>{{24, 24}, {32, 48}, {37, 41}, {64, 64}, {1, 128}, {112, 1}}) {
    const pl::Dense left = pl::Dense::random(n1, 1), right = pl::Dense::random(n2, 2);
    const auto stage = pl::round_to_bfloat16(pl::Kronecker(left, right));
    REQUIRE(stage.has_value());
    const pl::index n = n1 * n2, rows = 3;
    const auto x = of_all_sizes(rows, n, 5);
    Matrix<double> wide(rows, n), magnitudes(rows, n), ones(rows, n, 1.0);
    for (pl::index r = 0; r < rows; ++r)
      for (pl::index c = 0; c < n; ++c) {
        wide(r, c) = static_cast<double>(x(r, c));
        magnitudes(r, c) = std::fabs(wide(r, c));
      }
    const auto absolute = [](const pl::Dense& factor) {
      const double* const matrix = factor.matrix<double>();
      std::vector<double> values(matrix, matrix + factor.size() * factor.size());
      for (double& value : values) value = std::fabs(value);
      return values;
    };
    const std::vector<double> l = absolute(stage->left()), r = absolute(stage->right());
    std::vector<double> scratch(static_cast<std::size_t>(kernels::reference::kronecker_scratch_size(n1, n2)));
    Matrix<double> reach(rows, n), reach_of_ones(rows, n);
    kernels::reference::kronecker_rows<double>(magnitudes.view(), n1, n2, l.data(), r.data(), reach.view(), scratch);
    kernels::reference::kronecker_rows<double>(ones.view(), n1, n2, l.data(), r.data(), reach_of_ones.view(), scratch);
    const Matrix<float> y = laws::apply(*stage, x);
    const Matrix<double> exact = laws::apply(*stage, wide);
    const double terms = static_cast<double>(2 * 17 + (n1 + 31) / 32 + (n2 + 31) / 32);
    const double relative = 0x1p-7 + 0x1p-16 + 1.01 * terms * 0x1p-24;
    pl::index outside = 0;
    for (pl::index row = 0; row < rows; ++row)
      for (pl::index c = 0; c < n; ++c)
        outside += std::fabs(static_cast<double>(y(row, c)) - exact(row, c)) >
                   relative * reach(row, c) + 0x1p-54 * (1.0 + reach_of_ones(row, c));
    CHECK(outside == 0);
  }
}

TEST_CASE("the typical error of products of bfloat16 is a quarter of a per cent") {
  const auto stage = pl::round_to_bfloat16(pl::Kronecker(pl::Dense::random(64, 1), pl::Dense::random(64, 2)));
  REQUIRE(stage.has_value());
  const auto x = Matrix<float>::random(4, 4096, 3);
  Matrix<double> wide(4, 4096);
  for (pl::index r = 0; r < 4; ++r)
    for (pl::index c = 0; c < 4096; ++c) wide(r, c) = static_cast<double>(x(r, c));
  const Matrix<float> y = laws::apply(*stage, x);
  const Matrix<double> exact = laws::apply(*stage, wide);
  double error = 0, size = 0;
  for (pl::index r = 0; r < 4; ++r)
    for (pl::index c = 0; c < 4096; ++c) {
      error += std::pow(static_cast<double>(y(r, c)) - exact(r, c), 2);
      size += exact(r, c) * exact(r, c);
    }
  const double relative = std::sqrt(error / size);
  CHECK(relative > 1e-3);
  CHECK(relative < 4e-3);
}

TEST_CASE("Kronecker stages with products of bfloat16 keep the laws: their dual is that of the rounded factors") {
  for (const auto& [n1, n2] : std::vector<Sizes>{{1, 7}, {7, 9}, {24, 24}, {32, 48}}) {
    const auto both = pl::round_to_bfloat16(pl::Kronecker(pl::Dense::random(n1, 1), pl::Rotation::random(n2, 2)));
    const auto across = pl::round_to_bfloat16(pl::Kronecker(pl::Rotation::random(n1, 3), pl::Identity(n2)));
    const auto within = pl::round_to_bfloat16(pl::Kronecker(pl::Identity(n1), pl::Dense::random(n2, 4)));
    REQUIRE((both.has_value() && across.has_value() && within.has_value()));
    const auto keeps = [](const auto& stage) {
      laws::check_duality(stage, 1);
      laws::check_inverse(stage);
      laws::check_rows(stage, 2);
    };
    keeps(*both);
    keeps(*across);
    keeps(*within);
    CHECK(within->kind.within_heads);
    CHECK(!both->kind.orthogonal);
  }
  // 1 + 2^-10 rounds to 1, and the rows become equal
  const auto close = pl::Dense::make(std::vector<float>{1.0f, 1.0f, 1.0f, 1.0f + 0x1p-10f}, 2);
  REQUIRE(close.has_value());
  CHECK(pl::round_to_bfloat16(pl::Kronecker(*close, pl::Identity(3))).status().code() == pl::ErrorCode::singular);
}

TEST_CASE("without tiles two rows of floats are all the scratch that a Kronecker product of bfloat16 takes") {
  pl::disable_amx();
  for (const auto& [n1, n2] : std::vector<Sizes>{{3, 5}, {16, 16}, {24, 40}, {1, 64}, {33, 2}})
    for_each_kind({n1, n2}, [&](const pl::Bfloat16Factors& made, pl::index n) {
      const pl::Bfloat16FactorsView f = made.view();
      const pl::index rows = 3, two_rows = 2 * f.n1 * pl::PairTiles{f.n1, f.n2}.stride();
      const auto x = Matrix<float>::random(rows, n, 3);
      std::vector<float> scratch(scratch_size(f), 42.0f);
      Matrix<float> room(rows, n);
      std::vector<std::byte> memory(pl::quantized_rows_bytes(rows, n, false) + pl::buffer_alignment);
      pl::Workspace workspace(memory);
      const pl::QuantizedRowsSpan out = pl::take_quantized_rows(workspace, rows, n, false);
      CHECK(kernels::cpu::kronecker_bfloat16_codes({x.view(), 0, {}, out, room.view(), scratch}, f) == 0);
      pl::index beyond = 0;
      for (std::size_t i = static_cast<std::size_t>(two_rows); i < scratch.size(); ++i)
        beyond += scratch[i] == 42.0f ? 0 : 1;
      CHECK(beyond == 0);
    });
}

TEST_CASE("no factors at all: rows stay as they are, and their codes are those of the rows") {
  const pl::index n1 = 6, n2 = 20, n = n1 * n2, rows = 3;
  const pl::Bfloat16Factors none(n1, n2, nullptr, nullptr);
  const auto x = of_all_sizes(rows, n, 4);
  with_and_without_tiles([&] {
    std::vector<float> scratch(scratch_size(none.view()));
    Matrix<float> y(rows, n), room(rows, n);
    kernels::cpu::kronecker_bfloat16_rows(x.view(), none.view(), y.view(), scratch);
    CHECK(std::memcmp(x.values().data(), y.values().data(), x.values().size() * sizeof(float)) == 0);
    std::vector<std::byte> memory(pl::quantized_rows_bytes(rows, n, false) + pl::buffer_alignment), other(memory);
    pl::Workspace workspace(memory), other_workspace(other);
    const pl::QuantizedRowsSpan out = pl::take_quantized_rows(workspace, rows, n, false);
    const pl::QuantizedRowsSpan expected = pl::take_quantized_rows(other_workspace, rows, n, false);
    CHECK(kernels::cpu::kronecker_bfloat16_codes({x.view(), 0, {}, out, room.view(), scratch}, none.view()) == 0);
    CHECK(kernels::reference::quantize_rows(x.view(), {}, expected) == 0);
    for (pl::index r = 0; r < rows; ++r) {
      CHECK(std::memcmp(out.row(r), expected.row(r), static_cast<std::size_t>(out.stride)) == 0);
      CHECK(out.scales[r] == expected.scales[r]);
    }
  });
}
